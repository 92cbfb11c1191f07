//! The HTTPS client for our own calls to secret stores.
