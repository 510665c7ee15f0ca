"""Classifiers to distil through and to judge by."""
