"""OpenAI's image API below `/v1`, by the same way to a picture as `/generate`: begin with `routes`."""
