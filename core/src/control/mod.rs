//! The control socket: a Varlink service (`org.portreeve.Control`) and its client.
//!
//! `protocol` is what crosses the socket, for both sides; `server` serves it; `client` asks. Any Varlink client
//! can talk to the core, the commands of this program are only the first of them. The socket is open to its
//! owner alone: whoever may open it may do everything.

pub mod client;
pub mod protocol;
pub mod server;
