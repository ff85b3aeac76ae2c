//! The values that go into the engine and come out of it.

use portreeve_network::Prefix;

use crate::Instant;

/// One link as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// The kernel's number.
    pub index: u32,
    /// The name now.
    pub name: String,
    /// The kernel's name of a virtual link's kind; none for hardware.
    pub kind: Option<String>,
    /// Its own link-layer address; empty if it has none.
    pub mac: Vec<u8>,
    /// Set up by the administrator.
    pub up: bool,
    /// Up, and able to carry packets.
    pub running: bool,
    /// The bridge, bond or VRF it belongs to.
    pub controller: Option<u32>,
    /// Bytes.
    pub mtu: u32,
}

/// What a link is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// The link's number.
    pub index: u32,
    /// The MAC address it came with; empty where nobody knows it.
    pub permanent_mac: Vec<u8>,
    /// Its driver.
    pub driver: Option<String>,
    /// Its device's place below `/sys`.
    pub path: Option<String>,
}

/// One address as the kernel has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldAddress {
    /// The link's number.
    pub index: u32,
    /// Address and prefix length.
    pub address: Prefix,
    /// Duplicate address detection has not ended.
    pub tentative: bool,
    /// Duplicate address detection found another holder.
    pub duplicate: bool,
}

/// A prefix that another plugin was given for this router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegated {
    /// The plugin that says so.
    pub publisher: String,
    /// Its name for it.
    pub key: String,
    /// The prefix.
    pub prefix: Prefix,
    /// When it stops being preferred; none for never.
    pub preferred_until: Option<Instant>,
    /// When it stops being valid; none for never.
    pub valid_until: Option<Instant>,
}

/// A subnet of a pool as other plugins are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetFact {
    /// The subnet.
    pub prefix: Prefix,
    /// When it stops being preferred; none for never.
    pub preferred_until: Option<Instant>,
    /// When it stops being valid; none for never.
    pub valid_until: Option<Instant>,
    /// The interface that has it.
    pub interface: String,
}

/// What the shim does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Hand [`super::Engine::state`] to the host, and its answer to [`super::Engine::handle_applied`].
    Apply,
    /// Publish or replace the fact `key`.
    Publish {
        /// `subnet/POOL/NUMBER`.
        key: String,
        /// What it says.
        fact: SubnetFact,
    },
    /// Take the fact `key` back.
    Withdraw {
        /// `subnet/POOL/NUMBER`.
        key: String,
    },
    /// Everything is as it should be.
    Ready,
    /// Something is not, in one line.
    Degraded(String),
}

/// What came of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Interfaces that are not there, by name; what belongs to them waits.
    pub waiting: Vec<String>,
    /// What could not be done.
    pub problems: Vec<Problem>,
}

/// Something that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which part of the state, such as `address 2001:db8::1/64 on lan0`.
    pub object: String,
    /// Why not, in one line.
    pub message: String,
}

/// Everything that `portreeve status interfaces` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// One for each interface that is configured by name or that a pattern stands for now.
    pub interfaces: Vec<InterfaceStatus>,
    /// The pools.
    pub pools: Vec<PoolStatus>,
    /// What is wrong now.
    pub problems: Vec<Problem>,
}

/// How far an interface is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfaceState {
    /// There is no such link yet.
    Waiting,
    /// There is none, and there need not be one.
    Absent,
    /// It is there and down.
    Down,
    /// It is up, but cannot carry packets.
    NoCarrier,
    /// It is up, and somebody else has one of its addresses.
    Duplicate,
    /// It is up, and one of its addresses is still being checked for duplicates.
    Tentative,
    /// It is up and carries packets.
    Up,
}

/// One interface, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name as it should be.
    pub name: String,
    /// The kernel's name of the kind: of the link that is there, or of the one to be made; `hardware` otherwise.
    pub kind: String,
    /// See the type.
    pub state: InterfaceState,
    /// What it should have: from the section and from pools.
    pub addresses: Vec<Prefix>,
    /// Pool, number and the network, if the pool has a prefix that is large enough.
    pub subnets: Vec<(String, u64, Option<Prefix>)>,
}

/// One pool, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Its prefix; none until one is delegated.
    pub prefix: Option<Prefix>,
    /// When it ends; none for never.
    pub valid_until: Option<Instant>,
    /// Subnets that interfaces have.
    pub used: usize,
    /// Networks of 64 bits that nobody has; shorter subnets count as often as they hold one, longer ones once.
    pub free: u128,
    /// Former prefixes that are still being taken back.
    pub retired: Vec<Prefix>,
}
