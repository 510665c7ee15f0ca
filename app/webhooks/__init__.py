"""Webhooks as clients ask for them and see what became of them."""
