//! Names of protocols, ports and kinds of ICMP that may be written instead of numbers.
//!
//! Names are those of IANA's registries, and where iptables has others, those too.

use super::Family;

/// Transport protocols (IANA, Assigned Internet Protocol Numbers).
pub(crate) const PROTOCOLS: [(&str, u8); 18] = [
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("esp", 50),
    ("ah", 51),
    ("gre", 47),
    ("sctp", 132),
    ("dccp", 33),
    ("udplite", 136),
    ("igmp", 2),
    ("ipip", 4),
    ("ipv6", 41),
    ("6in4", 41),
    ("ospf", 89),
    ("vrrp", 112),
    ("pim", 103),
];

/// Protocols that have ports at the start of their header.
pub(crate) const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// Ports (IANA, Service Name and Transport Protocol Port Number Registry).
pub(crate) const PORTS: [(&str, u16); 50] = [
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("dns", 53),
    ("bootps", 67),
    ("bootpc", 68),
    ("tftp", 69),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("ident", 113),
    ("auth", 113),
    ("nntp", 119),
    ("ntp", 123),
    ("netbios-ns", 137),
    ("netbios-dgm", 138),
    ("netbios-ssn", 139),
    ("imap", 143),
    ("snmp", 161),
    ("snmptrap", 162),
    ("bgp", 179),
    ("ldap", 389),
    ("https", 443),
    ("microsoft-ds", 445),
    ("submissions", 465),
    ("isakmp", 500),
    ("syslog", 514),
    ("dhcpv6-client", 546),
    ("dhcpv6-server", 547),
    ("rtsp", 554),
    ("submission", 587),
    ("ipp", 631),
    ("ldaps", 636),
    ("domain-s", 853),
    ("rsync", 873),
    ("imaps", 993),
    ("pop3s", 995),
    ("openvpn", 1194),
    ("l2tp", 1701),
    ("radius", 1812),
    ("nfs", 2049),
    ("mysql", 3306),
    ("ipsec-nat-t", 4500),
    ("sip", 5060),
    ("mdns", 5353),
    ("wireguard", 51820),
];

/// Type and code.
pub(crate) type Kind = (u8, Option<u8>);

/// Kinds of messages: name, ICMP (RFC 792, RFC 1812), ICMPv6 (RFC 4443, 4861, 2710, 3810, 6275).
pub(crate) const ICMP: [(&str, Option<Kind>, Option<Kind>); 42] = [
    ("echo-request", Some((8, None)), Some((128, None))),
    ("echo-reply", Some((0, None)), Some((129, None))),
    ("destination-unreachable", Some((3, None)), Some((1, None))),
    ("time-exceeded", Some((11, None)), Some((3, None))),
    ("parameter-problem", Some((12, None)), Some((4, None))),
    ("redirect", Some((5, None)), Some((137, None))),
    ("router-solicitation", Some((10, None)), Some((133, None))),
    ("router-advertisement", Some((9, None)), Some((134, None))),
    ("port-unreachable", Some((3, Some(3))), Some((1, Some(4)))),
    ("ttl-exceeded", Some((11, Some(0))), Some((3, Some(0)))),
    ("ttl-zero-during-transit", Some((11, Some(0))), Some((3, Some(0)))),
    ("ttl-zero-during-reassembly", Some((11, Some(1))), Some((3, Some(1)))),
    ("packet-too-big", None, Some((2, None))),
    ("no-route", None, Some((1, Some(0)))),
    ("communication-prohibited", Some((3, Some(13))), Some((1, Some(1)))),
    ("beyond-scope", None, Some((1, Some(2)))),
    ("address-unreachable", None, Some((1, Some(3)))),
    ("failed-policy", None, Some((1, Some(5)))),
    ("reject-route", None, Some((1, Some(6)))),
    ("bad-header", Some((12, Some(0))), Some((4, Some(0)))),
    ("unknown-header-type", None, Some((4, Some(1)))),
    ("unknown-option", None, Some((4, Some(2)))),
    ("neighbour-solicitation", None, Some((135, None))),
    ("neighbor-solicitation", None, Some((135, None))),
    ("neighbour-advertisement", None, Some((136, None))),
    ("neighbor-advertisement", None, Some((136, None))),
    ("mld-query", None, Some((130, None))),
    ("mld-report", None, Some((131, None))),
    ("mld-done", None, Some((132, None))),
    ("mld2-report", None, Some((143, None))),
    ("router-renumbering", None, Some((138, None))),
    ("network-unreachable", Some((3, Some(0))), None),
    ("host-unreachable", Some((3, Some(1))), None),
    ("protocol-unreachable", Some((3, Some(2))), None),
    ("fragmentation-needed", Some((3, Some(4))), None),
    ("source-route-failed", Some((3, Some(5))), None),
    ("host-prohibited", Some((3, Some(10))), None),
    ("network-prohibited", Some((3, Some(9))), None),
    ("source-quench", Some((4, None)), None),
    ("timestamp-request", Some((13, None)), None),
    ("timestamp-reply", Some((14, None)), None),
    ("address-mask-request", Some((17, None)), None),
];

/// What `name` is in `family`: none if it is no name, an empty kind if the family has no such.
pub(crate) fn icmp(name: &str, family: Family) -> Option<Option<Kind>> {
    let (_, v4, v6) = ICMP.iter().find(|(known, ..)| *known == name)?;
    Some(if family == Family::V4 { *v4 } else { *v6 })
}

/// Bits of byte 13 of TCP's header (RFC 9293 section 3.1).
pub(crate) const TCP_FLAGS: [(&str, u8); 8] =
    [("fin", 1), ("syn", 2), ("rst", 4), ("psh", 8), ("ack", 16), ("urg", 32), ("ece", 64), ("cwr", 128)];
