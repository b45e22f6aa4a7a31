"""One module per kind of query: from the node of a request to the members of its answer."""
