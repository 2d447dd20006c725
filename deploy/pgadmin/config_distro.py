"""pgAdmin's settings in the container; takes the place of what its entrypoint would write (the root is read-only)."""

CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
LOG_FILE = "/dev/null"
DEFAULT_BINARY_PATHS: dict[str, str] = {}
SERVER_MODE = True
# One user, behind a loopback port: the password that matters is that of rtp_read, and it is in a file.
MASTER_PASSWORD_REQUIRED = False
UPGRADE_CHECK_ENABLED = False
# No request to anybody outside.
SHOW_GRAVATAR_IMAGE = False
LLM_ENABLED = False
ENHANCED_COOKIE_PROTECTION = True
SESSION_COOKIE_SAMESITE = "Lax"
CONSOLE_LOG_LEVEL = 30
