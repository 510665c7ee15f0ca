"""Keys: who may use the API, as the file of keys says."""
