"""What may stand at a place in a HogQL text, which need not be complete: worked out from its tokens, never parsed."""
