"""The operator's admin. Imported at the first request below /admin/, so that processes that serve none do without."""
