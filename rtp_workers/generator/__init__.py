"""Live transactions: who pays whom, when and how much, drawn in blocks and encoded as JSON. Pure: no clock, no I/O."""
