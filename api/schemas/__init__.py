"""The schemas of requests and answers, as OpenAPI shows them."""
