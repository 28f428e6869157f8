//! 208 to 233: mailboxes, wake-ups, and system calls that fail.
