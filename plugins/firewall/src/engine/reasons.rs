//! Why the kernel could not even be asked, in words for the operator.

use portreeve_config::{Diagnostic, Severity};

use super::WHOLE;

/// Why a batch or a question came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The grant does not hold it.
    Denied,
    /// The kernel takes no datagram of this size.
    TooBig,
    /// Others changed what was read, or answers were lost.
    Busy,
    /// There is no nf_tables.
    NotSupported,
    /// Something else; the log says what.
    Other,
}

impl CommitError {
    /// For the operator; `bytes` of the batch.
    #[must_use]
    pub fn diagnostic(self, bytes: usize) -> Diagnostic {
        let (message, hint) = match self {
            Self::Denied => (
                "the core denies this plugin its table of nf_tables".to_owned(),
                "see the log for what is missing in `allow`".to_owned(),
            ),
            Self::TooBig => (
                format!("the rules come to {bytes} bytes, more than this process may send to the kernel at once"),
                format!(
                    "raise net.core.wmem_max to {bytes}, or run the core with CAP_NET_ADMIN of the initial user namespace"
                ),
            ),
            Self::Busy => (
                "other programs change nf_tables all the time, so the rules could not be put in force".to_owned(),
                "find out which with `nft monitor`".to_owned(),
            ),
            Self::NotSupported => (
                "this kernel has no nf_tables".to_owned(),
                "load the module nf_tables, or use a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET".to_owned(),
            ),
            Self::Other => (
                "nf_tables could not be asked or changed".to_owned(),
                "see the log for what the kernel said".to_owned(),
            ),
        };
        Diagnostic { severity: Severity::Error, span: WHOLE, message, hint: Some(hint) }
    }
}
