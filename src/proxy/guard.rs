//! The strict reader of what HTTP/1 clients send: what could be read in two ways does not get past it.
//!
//! Pure: [`scanner`] follows the stream, [`head`] reads heads and [`chunked`] bodies without a length;
//! [`characters`] says which bytes may stand where. Neighbour:
//! [`crate::proxy::connection`], which reads the bytes.

mod characters;

pub(super) mod chunked;

pub(super) mod head;

pub(super) mod scanner;

#[cfg(test)]
pub(super) mod tests;
