"""Where SDKs send events: decoding, validation and the answers they understand."""
