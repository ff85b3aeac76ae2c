//! Messages of nf_tables: written attribute by attribute, and taken apart as far as their headers.
//!
//! Writing cannot fail, reading takes any bytes: what is cut off ends it.

use netlink_packet_core::{NetlinkBuffer, NetlinkHeader};

/// Attributes whose value is further attributes.
pub const NESTED: u16 = 0x8000;
/// Bytes of struct nlmsghdr.
const HEADER: usize = 16;

/// Appends a message whose attributes `fill` writes; `resource` is nfgenmsg's res_id.
pub fn message(out: &mut Vec<u8>, kind: u16, flags: u16, family: u8, resource: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(&[family, 0]);
    out.extend_from_slice(&resource.to_be_bytes());
    fill(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(header) = out.get_mut(start..start + 8) {
        let (length_field, rest) = header.split_at_mut(4);
        length_field.copy_from_slice(&length.to_ne_bytes());
        let (kind_field, flags_field) = rest.split_at_mut(2);
        kind_field.copy_from_slice(&kind.to_ne_bytes());
        flags_field.copy_from_slice(&flags.to_ne_bytes());
    }
}

/// Appends an attribute.
pub fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// One that is a text, with its zero.
pub fn text(out: &mut Vec<u8>, kind: u16, value: &str) {
    attribute(out, kind, &[value.as_bytes(), &[0]].concat());
}

/// One that is a number, in network order.
pub fn number(out: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(out, kind, &value.to_be_bytes());
}

/// One of further attributes.
pub fn nested(out: &mut Vec<u8>, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    attribute(out, kind | NESTED, &inner);
}

/// What is read of a message: type, flags, and what follows the header.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// nlmsg_type.
    pub kind: u16,
    /// nlmsg_flags.
    pub flags: u16,
    /// From nfgenmsg or nlmsgerr on.
    pub body: &'a [u8],
}

/// The messages of a datagram.
pub fn messages(mut bytes: &[u8]) -> Vec<Message<'_>> {
    let mut found = Vec::new();
    while let Ok(buffer) = NetlinkBuffer::new_checked(bytes) {
        let header: NetlinkHeader = match netlink_packet_core::Parseable::parse(&buffer) {
            Ok(header) => header,
            Err(_) => break,
        };
        let length = header.length as usize;
        let Some(body) = bytes.get(HEADER..length) else { break };
        found.push(Message { kind: header.message_type, flags: header.flags, body });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_and_attributes_are_padded_to_four_bytes() {
        let mut bytes = Vec::new();
        message(&mut bytes, 0x0a01, 5, 2, 10, |m| text(m, 1, "ab"));
        assert_eq!(bytes.len(), 28);
        assert_eq!(bytes[..8], [28, 0, 0, 0, 0x01, 0x0a, 5, 0]);
        assert_eq!(bytes[16..], [2, 0, 0, 10, 7, 0, 1, 0, b'a', b'b', 0, 0]);
        let found = messages(&bytes);
        assert_eq!(found, [Message { kind: 0x0a01, flags: 5, body: &bytes[16..] }]);
        for cut in 0..bytes.len() {
            assert!(messages(&bytes[..cut]).is_empty(), "{cut}");
        }
    }
}
