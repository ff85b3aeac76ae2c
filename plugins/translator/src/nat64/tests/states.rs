//! TCP: the state machine of section 3.5.2.2 through the table, state by state, and as a whole.

use super::*;
use crate::nat64::tcp::{Event, Lifetime, State, step};

const FROM: u16 = 40_000;

/// A table whose only session is in `state`.
fn in_state(state: State) -> Lab {
    let mut lab = Lab::new(Settings { tcp_inbound: true, ..one_address() });
    if state == State::V4Init {
        // A mapping made by another connection, which has ended.
        v6(&mut lab, SYN, 1);
        assert_eq!(v4(&mut lab, SYN, 2), Ok(()));
        lab.skip(secs(200));
        assert_eq!(v4(&mut lab, SYN, 80), Ok(()));
        lab.wait(secs(60));
        return lab;
    }
    let path: &[(bool, TcpFlags)] = match state {
        State::V6Init => &[],
        State::Established | State::V4Init => &[(false, SYN_ACK)],
        State::V4FinRcv => &[(false, SYN_ACK), (false, FIN)],
        State::V6FinRcv => &[(false, SYN_ACK), (true, FIN)],
        State::V6FinV4FinRcv => &[(false, SYN_ACK), (true, FIN), (false, FIN)],
        State::Trans => &[(false, SYN_ACK), (false, RST)],
    };
    v6(&mut lab, SYN, 80);
    for &(from_v6, flags) in path {
        if from_v6 {
            v6(&mut lab, flags, 80);
        } else {
            v4(&mut lab, flags, 80).unwrap();
        }
    }
    assert_eq!(lab.state(), Some(state));
    lab
}

fn v6(lab: &mut Lab, flags: TcpFlags, port: u16) {
    assert_eq!(lab.out_tcp(Protocol::Tcp, (host(), FROM), at(SERVER, port), Some(flags)), Ok(at(POOL, FROM)));
}

fn v4(lab: &mut Lab, flags: TcpFlags, port: u16) -> Result<(), Refusal> {
    lab.back_tcp(Protocol::Tcp, at(SERVER, port), at(POOL, FROM), Some(flags)).map(drop)
}

/// The session's lifetime, to the second.
fn left(lab: &Lab) -> u64 {
    lab.views()[0].remaining.as_secs()
}

/// Sends a segment 50 s later and tells the state and how long the session then lives.
fn after(state: State, from_v6: bool, flags: TcpFlags) -> (State, u64) {
    let mut lab = in_state(state);
    lab.skip(secs(50));
    if from_v6 {
        v6(&mut lab, flags, 80);
    } else {
        v4(&mut lab, flags, 80).unwrap();
    }
    (lab.state().unwrap(), left(&lab))
}

const EST: u64 = 7440;
const TRANS: u64 = 240;
/// A lifetime of 240 s that goes on running.
const KEPT: u64 = TRANS - 50;

#[test]
fn s3_5_2_2_closed_a_v6_syn_makes_a_session_in_v6_init() {
    let lab = in_state(State::V6Init);
    assert_eq!(left(&lab), TRANS);
    assert_eq!(lab.table.stats().tcp[State::V6Init.index()], 1);
}

#[test]
fn s3_5_2_2_closed_segments_other_than_a_syn_are_refused() {
    let mut lab = Lab::new(one_address());
    for flags in [ACK, FIN, RST, SYN_ACK, TcpFlags::default()] {
        let refused = lab.out_tcp(Protocol::Tcp, (host(), FROM), at(SERVER, 80), Some(flags));
        assert_eq!(refused, Err(Refusal::NotSyn), "{flags:?}");
    }
    assert_eq!(lab.out_tcp(Protocol::Tcp, (host(), FROM), at(SERVER, 80), None), Err(Refusal::NotSyn));
    v6(&mut lab, SYN, 80);
    for flags in [ACK, FIN, RST, SYN_ACK] {
        assert_eq!(v4(&mut lab, flags, 81), Err(Refusal::NotSyn), "with a mapping, {flags:?}");
    }
    assert_eq!(lab.table.len(), 1);
}

/// Externally begun connections are dropped unless they are wanted.
#[test]
fn s3_5_2_2_closed_a_v4_syn_is_refused_by_policy() {
    let mut lab = Lab::new(one_address());
    v6(&mut lab, SYN, 80);
    assert_eq!(v4(&mut lab, SYN, 81), Err(Refusal::Filtered));
    assert_eq!(lab.table.len(), 1);
    // But the SYN of a simultaneous open, which is of a session, comes through.
    assert_eq!(v4(&mut lab, SYN, 80), Ok(()));
    assert_eq!(lab.state(), Some(State::Established));
}

#[test]
fn s3_5_2_2_closed_a_v4_syn_to_a_mapping_makes_a_session_in_v4_init_where_allowed() {
    let mut lab = Lab::new(Settings { tcp_inbound: true, ..one_address() });
    v6(&mut lab, SYN, 1);
    assert_eq!(v4(&mut lab, SYN, 80), Ok(()));
    assert_eq!(lab.table.stats().tcp[State::V4Init.index()], 1);
    assert_eq!(lab.back_tcp(Protocol::Tcp, at(SERVER, 80), at(POOL, FROM + 1), Some(SYN)), Err(Refusal::NoMapping));
    let mut filtering =
        Lab::new(Settings { tcp_inbound: true, filtering: Filtering::AddressDependent, ..one_address() });
    v6(&mut filtering, SYN, 1);
    let stranger = filtering.back_tcp(Protocol::Tcp, at(STRANGER, 80), at(POOL, FROM), Some(SYN));
    assert_eq!(stranger, Err(Refusal::Filtered));
    assert_eq!(v4(&mut filtering, SYN, 80), Ok(()));
}

#[test]
fn s3_5_2_2_v4_init_only_a_v6_syn_goes_on() {
    assert_eq!(after_v4_init(true, SYN_ACK), State::Established);
    for (from_v6, flags) in
        [(false, SYN), (false, ACK), (true, ACK), (false, FIN), (true, FIN), (false, RST), (true, RST)]
    {
        assert_eq!(after_v4_init(from_v6, flags), State::V4Init, "{flags:?}");
    }
}

fn after_v4_init(from_v6: bool, flags: TcpFlags) -> State {
    let mut lab = in_state(State::V4Init);
    if from_v6 {
        v6(&mut lab, flags, 80);
    } else {
        v4(&mut lab, flags, 80).unwrap();
    }
    let view = lab.views().into_iter().find(|view| view.remote.port == 80).unwrap();
    let expected = if view.state == Some(State::Established) { EST } else { TRANS - 60 };
    assert_eq!(view.remaining.as_secs(), expected);
    view.state.unwrap()
}

#[test]
fn s3_5_2_2_v6_init_a_v4_syn_establishes() {
    assert_eq!(after(State::V6Init, false, SYN_ACK), (State::Established, EST));
    assert_eq!(after(State::V6Init, false, SYN), (State::Established, EST));
}

#[test]
fn s3_5_2_2_v6_init_a_repeated_v6_syn_begins_the_lifetime_anew() {
    assert_eq!(after(State::V6Init, true, SYN), (State::V6Init, TRANS));
}

#[test]
fn s3_5_2_2_v6_init_other_segments_change_nothing() {
    for flags in [ACK, FIN, RST] {
        assert_eq!(after(State::V6Init, true, flags), (State::V6Init, KEPT));
        assert_eq!(after(State::V6Init, false, flags), (State::V6Init, KEPT));
    }
}

#[test]
fn s3_5_2_2_established_each_fin_leads_to_its_state() {
    assert_eq!(after(State::Established, false, FIN), (State::V4FinRcv, EST - 50));
    assert_eq!(after(State::Established, true, FIN), (State::V6FinRcv, EST - 50));
}

#[test]
fn s3_5_2_2_established_an_rst_of_either_side_leads_to_trans() {
    assert_eq!(after(State::Established, false, RST), (State::Trans, TRANS));
    assert_eq!(after(State::Established, true, RST), (State::Trans, TRANS));
}

#[test]
fn s3_5_2_2_established_other_segments_begin_the_lifetime_anew() {
    for from_v6 in [true, false] {
        for flags in [ACK, SYN] {
            assert_eq!(after(State::Established, from_v6, flags), (State::Established, EST));
        }
    }
}

#[test]
fn s3_5_2_2_v4_fin_rcv_a_v6_fin_ends_both() {
    assert_eq!(after(State::V4FinRcv, true, FIN), (State::V6FinV4FinRcv, TRANS));
    assert_eq!(after(State::V4FinRcv, false, FIN), (State::V4FinRcv, EST));
    assert_eq!(after(State::V4FinRcv, true, ACK), (State::V4FinRcv, EST));
}

#[test]
fn s3_5_2_2_v6_fin_rcv_a_v4_fin_ends_both() {
    assert_eq!(after(State::V6FinRcv, false, FIN), (State::V6FinV4FinRcv, TRANS));
    assert_eq!(after(State::V6FinRcv, true, FIN), (State::V6FinRcv, EST));
    assert_eq!(after(State::V6FinRcv, false, ACK), (State::V6FinRcv, EST));
}

/// Beyond section 3.5.2.2: see the doc of [`State`].
#[test]
fn an_rst_after_one_fin_does_not_leave_the_session_for_two_hours() {
    assert_eq!(after(State::V6FinRcv, true, RST), (State::Trans, TRANS));
    assert_eq!(after(State::V4FinRcv, false, RST), (State::Trans, TRANS));
}

#[test]
fn s3_5_2_2_v6_fin_v4_fin_rcv_segments_change_nothing() {
    for (from_v6, flags) in
        [(true, ACK), (false, ACK), (true, FIN), (false, FIN), (true, RST), (false, RST), (false, SYN)]
    {
        assert_eq!(after(State::V6FinV4FinRcv, from_v6, flags), (State::V6FinV4FinRcv, KEPT));
    }
}

/// Beyond section 3.5.2.2: see the doc of [`State`].
#[test]
fn a_v6_syn_after_both_fins_is_a_new_connection() {
    assert_eq!(after(State::V6FinV4FinRcv, true, SYN), (State::V6Init, TRANS));
}

#[test]
fn s3_5_2_2_trans_an_rst_changes_nothing_and_another_segment_establishes() {
    for from_v6 in [true, false] {
        assert_eq!(after(State::Trans, from_v6, RST), (State::Trans, KEPT));
        for flags in [ACK, SYN, FIN] {
            assert_eq!(after(State::Trans, from_v6, flags), (State::Established, EST));
        }
    }
}

/// Section 4: TCP_EST is 7440 s, and then TRANS for TCP_TRANS, in which a segment brings the session back.
#[test]
fn s3_5_2_2_established_goes_to_trans_when_its_lifetime_ends() {
    let mut swept = in_state(State::Established);
    swept.wait(secs(7439));
    assert_eq!(swept.state(), Some(State::Established));
    swept.wait(secs(40));
    assert_eq!(swept.state(), Some(State::Trans));
    assert!(left(&swept) <= 201, "TCP_TRANS runs from the end of TCP_EST, not from the sweep");
    swept.wait(secs(200));
    assert_eq!(swept.table.len(), 1);
    swept.wait(secs(40));
    assert_eq!(swept.table.len(), 0);

    let mut unswept = in_state(State::Established);
    unswept.skip(secs(7440 + 239));
    v6(&mut unswept, ACK, 80);
    assert_eq!((unswept.state(), left(&unswept)), (Some(State::Established), EST));
    unswept.skip(secs(7440 + 240) + GRAIN + GRAIN);
    let late = unswept.out_tcp(Protocol::Tcp, (host(), FROM), at(SERVER, 80), Some(ACK));
    assert_eq!(late, Err(Refusal::NotSyn));
}

/// Section 4: all other states end with their lifetime.
#[test]
fn s4_tcp_states_other_than_established_end_with_their_lifetime() {
    for state in State::ALL {
        if matches!(state, State::Established | State::V4Init) {
            continue;
        }
        let lifetime = if matches!(state, State::V4FinRcv | State::V6FinRcv) { EST } else { TRANS };
        let mut lab = in_state(state);
        lab.skip(secs(lifetime));
        assert_eq!(lab.state(), Some(state));
        lab.skip(GRAIN);
        assert_eq!(lab.state(), None, "{state:?}");
        assert_eq!(v4(&mut lab, ACK, 80), Err(Refusal::NoMapping));
        assert_eq!(lab.table.stats().bib_entries, 0);
    }
}

/// The whole machine again, as a table of its own: rows are states, columns V6 SYN, V4 SYN, V6 FIN, V4 FIN, V6 RST,
/// V4 RST, other; `e` and `t` say that the lifetime begins anew.
#[test]
fn s3_5_2_2_the_machine_as_a_table() {
    let events = [Event::V6Syn, Event::V4Syn, Event::V6Fin, Event::V4Fin, Event::V6Rst, Event::V4Rst, Event::Other];
    let rows = [
        (State::V6Init, "6t Ee 6. 6. 6. 6. 6."),
        (State::V4Init, "Ee 4. 4. 4. 4. 4. 4."),
        (State::Established, "Ee Ee s. f. Tt Tt Ee"),
        (State::V4FinRcv, "fe fe bt fe Tt Tt fe"),
        (State::V6FinRcv, "se se se bt Tt Tt se"),
        (State::V6FinV4FinRcv, "6t b. b. b. b. b. b."),
        (State::Trans, "Ee Ee Ee Ee T. T. Ee"),
    ];
    for (state, row) in rows {
        for (event, cell) in events.into_iter().zip(row.split(' ')) {
            let (next, lifetime) = step(state, event);
            let next = match next {
                State::V6Init => '6',
                State::V4Init => '4',
                State::Established => 'E',
                State::V4FinRcv => 'f',
                State::V6FinRcv => 's',
                State::V6FinV4FinRcv => 'b',
                State::Trans => 'T',
            };
            let lifetime = match lifetime {
                Lifetime::Keep => '.',
                Lifetime::Established => 'e',
                Lifetime::Transitory => 't',
            };
            assert_eq!(format!("{next}{lifetime}"), cell, "{state:?} {event:?}");
        }
    }
}

#[test]
fn s3_5_2_2_counters_follow_the_states() {
    let mut lab = in_state(State::Established);
    assert_eq!(lab.table.stats().tcp, [0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(lab.table.top(1)[0].half_open, 0);
    v6(&mut lab, FIN, 80);
    assert_eq!(lab.table.stats().tcp, [0, 0, 0, 0, 1, 0, 0]);
    v4(&mut lab, FIN, 80).unwrap();
    v6(&mut lab, SYN, 80);
    assert_eq!(lab.table.stats().tcp, [1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(lab.table.top(1)[0].half_open, 1);
    lab.wait(secs(300));
    assert_eq!(lab.table.stats().tcp, [0; 7]);
}
