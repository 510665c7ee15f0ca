"""Who asks: `admission` sees to it before anything else, `caller` is what endpoints know of them."""
