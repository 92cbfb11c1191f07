//! The ways to listen: TLS and Unix sockets.

mod tls;
mod unix;
