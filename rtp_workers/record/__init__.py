"""The record: one declaration, from which codec, columns, CSV targets and docs are derived."""
