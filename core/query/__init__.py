"""POST /query: questions in HogQL or as nodes of PostHog's schema, asked at once or in the background."""
