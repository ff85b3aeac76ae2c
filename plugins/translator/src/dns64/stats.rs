//! What happened, in numbers. The field names are the stable names under which they are shown.

/// Declares the counters once: fields, docs and the names given to [`Stats::each`].
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Numbers since the engine was made.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Calls `f` with the name and value of each counter, in the order of the fields.
            pub fn each(&self, mut f: impl FnMut(&'static str, u64)) {
                $(f(stringify!($name), self.$name);)*
            }
        }
    };
}

counters! {
    /// Messages from clients.
    queries,
    /// Of them over TCP.
    queries_tcp,
    /// Answers to clients.
    answers,
    /// Answers with AAAA records made of A records.
    synthesised,
    /// Answers to reverse questions within the prefixes.
    reverse,
    /// Answers that needed no resolver: `ipv4only.arpa` and what the policy empties.
    local,
    /// Answers out of the cache.
    cache_hits,
    /// Questions for which nothing was kept.
    cache_misses,
    /// Answers given up to make room.
    cache_evicted,
    /// Questions that joined one that was already asked.
    coalesced,
    /// Questions repeated while they are being asked; not answered twice.
    repeated,
    /// Answers with TC set because they are too large for UDP.
    truncated,
    /// Answers with SERVFAIL.
    failed,
    /// Dropped: messages that are no questions.
    not_a_query,
    /// Answered with FORMERR or NOTIMP: questions that cannot be read.
    malformed_query,
    /// Answered with REFUSED: by policy, class, type, or without recursion desired.
    refused,
    /// Dropped: more than the client's rate.
    rate_limited,
    /// Dropped: more than the client's share of those who wait.
    share_exceeded,
    /// Dropped: as many wait as may.
    table_full,
    /// Dropped: as many wait for this question as may.
    waiters_full,
    /// Questions sent upstream over UDP.
    upstream_queries,
    /// Questions sent upstream over TCP.
    upstream_tcp,
    /// Answers taken from upstream.
    upstream_answers,
    /// Upstream questions without an answer in time.
    upstream_timeouts,
    /// Upstream answers with an error code; another resolver is tried.
    upstream_errors,
    /// Upstream answers that contradict themselves.
    upstream_malformed,
    /// Upstream answers cut off; asked again over TCP.
    upstream_truncated,
    /// Upstream answers after their question was given up.
    upstream_late,
    /// Upstream answers to no question of ours, or to another one than was asked.
    upstream_mismatched,
    /// Upstream answers whose question lost its case; checked over TCP.
    upstream_case,
    /// Upstream sockets given up because of a burst of mismatches.
    upstream_bursts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tells_every_counter_once_under_its_name() {
        let stats = Stats { coalesced: 3, ..Stats::default() };
        let mut names = Vec::new();
        stats.each(|name, value| {
            assert_eq!(value, if name == "coalesced" { 3 } else { 0 });
            names.push(name);
        });
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len() * size_of::<u64>(), size_of::<Stats>());
    }
}
