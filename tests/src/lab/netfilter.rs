//! nf_tables by hand: a socket of a test in a namespace, which sends batches and takes what the kernel has against them.
//!
//! What it shares with Portreeve is the encoding of messages only.

use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use portreeve_nftables::{
    Acknowledgement, Answer, Batch, Decoded, DeleteTable, Endian, Family, Query, answer, decode, messages, request,
};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::{Failure, Netns, Result};

/// One answer of the kernel may carry the message it is about.
const LARGEST: usize = 128 * 1024;
/// For what the kernel has against a batch.
const ANSWERS: usize = 8 * 1024 * 1024;
/// Of the send buffer, beside the batch.
const SPARE: usize = 64 * 1024;

/// A socket.
#[derive(Debug)]
pub struct Netfilter(OwnedFd);

impl Netfilter {
    /// One in this namespace.
    ///
    /// # Errors
    /// If there is no such socket.
    pub fn open(netns: &Netns) -> Result<Self> {
        let open =
            || socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
        let socket = netns.enter(open)?.map_err(std::io::Error::from)?;
        sockopt::set_socket_recv_buffer_size_force(&socket, ANSWERS).map_err(std::io::Error::from)?;
        Ok(Self(socket))
    }

    /// Sends a batch as one datagram, and gives the kernel's objections: none if it is in force.
    ///
    /// # Errors
    /// If it is not taken.
    pub fn transact(&self, batch: &[u8]) -> Result<Vec<Acknowledgement>> {
        sockopt::set_socket_send_buffer_size_force(&self.0, batch.len() + SPARE).map_err(std::io::Error::from)?;
        self.send(batch)?;
        // The kernel works while it takes the datagram: what it has to say is there.
        let mut objections = Vec::new();
        while let Some(bytes) = self.receive(RecvFlags::DONTWAIT)? {
            for message in messages(Endian::NATIVE, &bytes).map_while(std::result::Result::ok) {
                if let Answer::Acknowledged(acknowledgement) = answer(&message)
                    && acknowledgement.errno != 0
                {
                    objections.push(acknowledgement);
                }
            }
        }
        Ok(objections)
    }

    /// The same, where the kernel must have nothing against it.
    ///
    /// # Errors
    /// If it has.
    pub fn commit(&self, batch: &[u8]) -> Result {
        let objections = self.transact(batch)?;
        super::ensure(objections.is_empty(), || format!("the kernel refuses a batch: {objections:?}"))
    }

    /// Sends a request for a dump and gives its answers, a datagram each.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub fn dump(&self, request: &[u8]) -> Result<Vec<Vec<u8>>> {
        self.send(request)?;
        let mut datagrams = Vec::new();
        loop {
            let Some(bytes) = self.receive(RecvFlags::empty())? else { continue };
            let is_end = |message| matches!(answer(&message), Answer::Done(_) | Answer::Acknowledged(_));
            let end = messages(Endian::NATIVE, &bytes).map_while(std::result::Result::ok).any(is_end);
            datagrams.push(bytes);
            if end {
                return Ok(datagrams);
            }
        }
    }

    /// The present generation: rises by one with each transaction of whoever.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn generation(&self) -> Result<u32> {
        let mut found = None;
        // Its acknowledgement comes behind it.
        for datagram in self.dump(&request(Endian::NATIVE, 1, &Query::Generation))? {
            for message in messages(Endian::NATIVE, &datagram).map_while(std::result::Result::ok) {
                if let Some(Decoded::Generation(generation)) = decode(&message) {
                    found = Some(generation.id);
                }
            }
        }
        found.ok_or_else(|| Failure::new("the kernel does not tell the generation"))
    }

    /// Removes a table if it is there.
    ///
    /// # Errors
    /// If the kernel refuses that.
    pub fn remove(&self, family: Family, table: &str) -> Result {
        /// linux/errno.h.
        const ENOENT: i32 = 2;
        let mut batch = Batch::new(Endian::NATIVE);
        batch.begin(None);
        batch.push(&DeleteTable { family, name: table }, 0);
        batch.end(0);
        let objections = self.transact(batch.bytes())?;
        let is_gone = objections.iter().all(|objection| objection.errno == ENOENT);
        super::ensure(is_gone, || format!("the table {table} cannot be removed: {objections:?}"))
    }

    /// Sends one datagram to the kernel.
    ///
    /// # Errors
    /// What it says.
    pub fn send(&self, bytes: &[u8]) -> Result {
        let sent = send(&self.0, bytes, SendFlags::empty()).map_err(std::io::Error::from)?;
        super::ensure(sent == bytes.len(), || format!("{sent} of {} bytes were sent", bytes.len()))
    }

    /// The next datagram; none if there is none and nobody waits, or if some were lost.
    fn receive(&self, flags: RecvFlags) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; LARGEST];
        match recv(&self.0, &mut buffer[..], flags) {
            Ok((length, _)) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(std::io::Error::from(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use portreeve_nftables::NewTable;

    use super::super::Lab;
    use super::*;

    #[test]
    fn what_is_committed_is_there_and_what_is_wrong_is_told() {
        let mut lab = Lab::new().unwrap();
        let netns = lab.netns("a").unwrap();
        let socket = Netfilter::open(&netns).unwrap();
        let before = socket.generation().unwrap();
        let mut batch = Batch::new(Endian::NATIVE);
        batch.begin(None);
        batch.push(&NewTable { family: Family::Ip, name: "there", flags: 0, comment: None }, 0);
        batch.end(0);
        socket.commit(batch.bytes()).unwrap();
        assert_eq!(socket.generation().unwrap(), before + 1);
        assert!(netns.output("nft list tables").unwrap().contains("table ip there"));
        let mut batch = Batch::new(Endian::NATIVE);
        batch.begin(None);
        let wrong = batch.push(&DeleteTable { family: Family::Ip, name: "elsewhere" }, 0);
        batch.end(0);
        let objections = socket.transact(batch.bytes()).unwrap();
        assert_eq!(objections.iter().map(|o| (o.sequence, o.errno)).collect::<Vec<_>>(), [(wrong, 2)]);
        socket.remove(Family::Ip, "there").unwrap();
        socket.remove(Family::Ip, "there").unwrap();
        assert_eq!(netns.output("nft list tables").unwrap(), "");
        let answers = socket.dump(&request(Endian::NATIVE, 1, &Query::Tables { family: Family::Unspec })).unwrap();
        assert_eq!(answers.len(), 1);
    }
}
