//! The transport over real sockets: what peers may send, what upstreams may answer, and that every byte arrives.
//! Whatever needs a socket belongs here; what does not is tested beside its code.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic, in what it shares with others too")]

mod delivery;
mod exactness;
mod grpc_edge;
mod http_edge;
mod limits;
mod peer;
mod queueing;
mod tls;
