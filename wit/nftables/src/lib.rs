//! Messages of nf_tables (linux/netfilter/nf_tables.h) and of connection tracking over netlink, as bytes.
//!
//! [`Batch`] writes a transaction, [`inspect`] says what a transaction touches before it is sent, [`answer`] and
//! [`locate`] say what the kernel thought of it, [`request`] and [`decode`] read back what is there. There is no socket
//! here. Headers and attributes of netlink are in the host's byte order, so whoever writes or reads says which it is
//! ([`Endian`]); numbers inside attributes of nf_tables are big-endian; what goes into a register is bytes, and those
//! of marks and states are in the host's order again ([`Endian::u32`]).
//!
//! Reading takes any bytes: what is unknown is skipped, what is cut off is an error or ends the reading. Writing does
//! not fail; a message that netlink's lengths cannot express is told by [`Batch::into_bytes`].
#![forbid(unsafe_code)]

mod ack;
mod attribute;
mod batch;
pub mod conntrack;
pub mod constants;
mod datatype;
mod elements;
mod endian;
mod expression;
mod message;
mod read;
mod request;
mod userdata;

pub use ack::{Acknowledgement, Answer, answer};
pub use attribute::Writer;
pub use batch::{Batch, Encode, Oversized};
pub use datatype::{ByteOrder, DataType};
pub use elements::{Change, Element, ElementData, Part, SetRef};
pub use endian::{Endian, Family};
pub use expression::{Checksum, Expression, Limit, LogTarget, Quota, Register, Verdict};
pub use message::chain::{BaseChain, DeleteChain, NewChain};
pub use message::flowtable::{DeleteFlowtable, NewFlowtable};
pub use message::object::{DeleteObject, NewObject, Object};
pub use message::rule::{DeleteRule, NewRule};
pub use message::set::{DeleteSet, FlushSet, NewSet, SetData};
pub use message::table::{DeleteTable, NewTable};
pub use read::attributes::{Attribute, Attributes};
pub use read::info::{
    ChainInfo, Decoded, ElementInfo, ElementsInfo, FlowtableInfo, GenerationInfo, ObjectInfo, RuleInfo, SetInfo,
    TableInfo, decode,
};
pub use read::inspect::{Inspect, Inspected, inspect};
pub use read::locate::{Place, expression_at, locate};
pub use read::messages::{Malformed, Message, Messages, messages};
pub use request::{Query, request};
