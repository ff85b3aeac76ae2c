//! Router solicitations and advertisements as bytes: known bytes both ways, truncation, round trips, survival.
//!
//! The known bytes were written by hand from the figures of the RFCs, not by our own emit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use portreeve_packet::EmitError;
use portreeve_packet::nd::{
    Dnssl, DomainName, DomainNameError, NdOption, ParseError, Pref64, Preference, PrefixFlags, PrefixInformation,
    RaError, Rdnss, RouteInformation, RouterAdvertisement, RouterSolicitation, RsError, mask_prefix,
    saturating_pref64_lifetime, validate_ra, validate_rs,
};
use proptest::prelude::*;
use std::net::Ipv6Addr;

const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10);

/// An advertisement with every option we know and one we do not.
#[rustfmt::skip]
const KNOWN_BYTES: &[u8] = &[
    134, 0, 0, 0, 64, 0b1100_1000, 0x07, 0x08, 0, 0, 0x75, 0x30, 0, 0, 0x03, 0xe8,
    // source link-layer address
    1, 1, 0x02, 0, 0, 0, 0, 1,
    // prefix information 2001:db8:60::/64, L A P, 86400, 14400
    3, 4, 64, 0b1101_0000, 0, 1, 0x51, 0x80, 0, 0, 0x38, 0x40, 0, 0, 0, 0,
    0x20, 0x01, 0x0d, 0xb8, 0, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    // mtu 1480
    5, 1, 0, 0, 0, 0, 0x05, 0xc8,
    // route 2001:db8::/32, low, 1800
    24, 2, 32, 0b0001_1000, 0, 0, 0x07, 0x08, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0,
    // route ::/0, high, for ever
    24, 1, 0, 0b0000_1000, 0xff, 0xff, 0xff, 0xff,
    // rdnss 2001:db8::53
    25, 3, 0, 0, 0, 0, 0x07, 0x08, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
    // dnssl example.org, a.b
    31, 4, 0, 0, 0, 0, 0x07, 0x08, 7, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 3, b'o', b'r', b'g', 0,
    1, b'a', 1, b'b', 0, 0, 0, 0, 0, 0, 0,
    // captive portal
    37, 2, b'h', b't', b't', b'p', b's', b':', b'/', b'/', b'p', b'.', b'x', 0, 0, 0,
    // pref64 64:ff9b::/96, 1800
    38, 2, 0x07, 0x08, 0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0,
    // advertisement interval 600000 ms
    7, 1, 0, 0, 0, 0x09, 0x27, 0xc0,
    // unknown
    253, 1, 1, 2, 3, 4, 5, 6,
];

fn known_value() -> RouterAdvertisement {
    RouterAdvertisement {
        hop_limit: 64,
        managed: true,
        other_config: true,
        home_agent: false,
        preference: Preference::High,
        other_flags: 0,
        router_lifetime: 1800,
        reachable_time: 30_000,
        retrans_timer: 1000,
        options: vec![
            NdOption::SourceLinkLayerAddress(vec![2, 0, 0, 0, 0, 1]),
            NdOption::PrefixInformation(PrefixInformation {
                prefix_length: 64,
                flags: PrefixFlags::ON_LINK
                    .with(PrefixFlags::AUTONOMOUS, true)
                    .with(PrefixFlags::DHCPV6_PD_PREFERRED, true)
                    .with(PrefixFlags::ROUTER_ADDRESS, false),
                valid_lifetime: 86_400,
                preferred_lifetime: 14_400,
                prefix: "2001:db8:60::".parse().unwrap(),
            }),
            NdOption::Mtu(1480),
            route("2001:db8::", 32, Preference::Low, 1800),
            route("::", 0, Preference::High, u32::MAX),
            NdOption::Rdnss(Rdnss { lifetime: 1800, servers: vec!["2001:db8::53".parse().unwrap()] }),
            NdOption::Dnssl(Dnssl { lifetime: 1800, domains: vec![name("example.org"), name("A.b.")] }),
            NdOption::CaptivePortal("https://p.x".to_owned()),
            NdOption::Pref64(Pref64 { lifetime: 1800, prefix: "64:ff9b::".parse().unwrap(), prefix_length: 96 }),
            NdOption::AdvertisementInterval(600_000),
            NdOption::Unknown { kind: 253, data: vec![1, 2, 3, 4, 5, 6] },
        ],
    }
}

fn route(prefix: &str, prefix_length: u8, preference: Preference, lifetime: u32) -> NdOption {
    let prefix = prefix.parse().unwrap();
    NdOption::RouteInformation(RouteInformation { prefix, prefix_length, preference, lifetime })
}

fn name(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn emit(advertisement: &RouterAdvertisement) -> Vec<u8> {
    let mut buffer = vec![0xa5; advertisement.buffer_len() + 4];
    let length = advertisement.emit(&mut buffer).unwrap();
    assert_eq!(length, advertisement.buffer_len());
    assert_eq!(buffer[length..], [0xa5; 4], "nothing is written beyond the end");
    buffer.truncate(length);
    buffer
}

#[test]
fn known_bytes_are_read_as_the_known_value() {
    assert_eq!(RouterAdvertisement::parse(KNOWN_BYTES), Ok(known_value()));
}

#[test]
fn the_known_value_is_written_as_the_known_bytes() {
    assert_eq!(emit(&known_value()), KNOWN_BYTES);
}

#[test]
fn every_truncation_is_an_error_or_ends_between_two_options() {
    for length in 0..KNOWN_BYTES.len() {
        match RouterAdvertisement::parse(&KNOWN_BYTES[..length]) {
            Ok(shorter) => assert_eq!(emit(&shorter), &KNOWN_BYTES[..length]),
            Err(error) => assert!(matches!(error, ParseError::TooShort | ParseError::TruncatedOption)),
        }
        assert!(RouterSolicitation::parse(&KNOWN_BYTES[..length]).is_err());
    }
}

#[test]
fn a_buffer_of_any_smaller_size_is_refused() {
    let advertisement = known_value();
    for length in 0..advertisement.buffer_len() {
        assert_eq!(advertisement.emit(&mut vec![0; length]), Err(EmitError::BufferTooSmall));
    }
}

#[test]
fn an_option_beyond_2040_bytes_is_refused_and_not_cut() {
    let servers = vec![HOST; Rdnss::MAX_SERVERS];
    let mut advertisement = RouterAdvertisement {
        options: vec![NdOption::Rdnss(Rdnss { lifetime: 1, servers })],
        ..RouterAdvertisement::default()
    };
    assert_eq!(RouterAdvertisement::parse(&emit(&advertisement)), Ok(advertisement.clone()));
    let servers = vec![HOST; Rdnss::MAX_SERVERS + 1];
    advertisement.options = vec![NdOption::Rdnss(Rdnss { lifetime: 1, servers })];
    let mut buffer = vec![0; advertisement.buffer_len()];
    assert_eq!(advertisement.emit(&mut buffer), Err(EmitError::OptionTooLong));
}

#[test]
fn unknown_options_unnamed_flags_and_odd_content_survive() {
    #[rustfmt::skip]
    let odd: &[&[u8]] = &[
        &[200, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        &[5, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14],     // an mtu of two units
        &[24, 1, 0, 0b0001_0000, 0, 0, 0, 9],                        // the reserved preference
        &[24, 1, 64, 0, 0, 0, 0, 9],                                 // a /64 without its bytes
        &[38, 2, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],       // a reserved pref64 length
        &[25, 1, 0, 0, 0, 0, 0, 1],                                  // no server
        &[31, 1, 0, 0, 0, 0, 0, 1],                                  // no domain
        &[31, 2, 0, 0, 0, 0, 0, 1, 9, b'a', b'b', 0, 0, 0, 0, 0],    // a label beyond the end
        &[37, 1, 0xff, 0xfe, 0, 0, 0, 0],                            // not UTF-8
    ];
    for option in odd {
        let bytes = [&[134, 0, 0, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], *option].concat();
        let advertisement = RouterAdvertisement::parse(&bytes).unwrap();
        assert!(matches!(advertisement.options[..], [NdOption::Unknown { .. }]), "{option:?}");
        assert_eq!(emit(&advertisement), bytes);
    }
}

#[test]
fn the_reserved_router_preference_reads_as_medium_and_is_never_sent() {
    let mut bytes = KNOWN_BYTES[..16].to_vec();
    bytes[5] = 0b0001_0000;
    let advertisement = RouterAdvertisement::parse(&bytes).unwrap();
    assert_eq!(advertisement.preference, Preference::Medium);
    assert_eq!(emit(&advertisement)[5], 0);
}

#[test]
fn a_solicitation_is_read_and_written() {
    let bytes = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    let solicitation = RouterSolicitation::parse(&bytes).unwrap();
    assert_eq!(solicitation.options, [NdOption::SourceLinkLayerAddress(vec![2, 0, 0, 0, 0, 9])]);
    let mut buffer = [0xa5; 16];
    assert_eq!(solicitation.emit(&mut buffer), Ok(16));
    assert_eq!(buffer, bytes);
}

#[test]
fn an_invalid_solicitation_is_refused_for_its_reason() {
    let with_address = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9];
    let bare = &with_address[..8];
    assert!(validate_rs(bare, 255, Ipv6Addr::UNSPECIFIED).is_ok());
    assert!(validate_rs(&with_address, 255, HOST).is_ok());
    assert_eq!(validate_rs(bare, 254, HOST), Err(RsError::HopLimit(254)));
    assert_eq!(validate_rs(&[133, 1, 0, 0, 0, 0, 0, 0], 255, HOST), Err(RsError::Code(1)));
    assert_eq!(validate_rs(&bare[..7], 255, HOST), Err(RsError::Malformed(ParseError::TooShort)));
    let zero_length = [133, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(validate_rs(&zero_length, 255, HOST), Err(RsError::Malformed(ParseError::ZeroLengthOption)));
    let unspecified = validate_rs(&with_address, 255, Ipv6Addr::UNSPECIFIED);
    assert_eq!(unspecified, Err(RsError::LinkLayerAddressFromUnspecified));
    assert_eq!(validate_rs(KNOWN_BYTES, 255, HOST), Err(RsError::Malformed(ParseError::Type(134))));
}

#[test]
fn an_invalid_advertisement_is_refused_for_its_reason() {
    assert!(validate_ra(KNOWN_BYTES, 255, HOST).is_ok());
    assert_eq!(validate_ra(KNOWN_BYTES, 64, HOST), Err(RaError::HopLimit(64)));
    let global = "2001:db8::1".parse().unwrap();
    assert_eq!(validate_ra(KNOWN_BYTES, 255, global), Err(RaError::SourceNotLinkLocal));
    let mut bytes = KNOWN_BYTES.to_vec();
    bytes[1] = 3;
    assert_eq!(validate_ra(&bytes, 255, HOST), Err(RaError::Code(3)));
    assert_eq!(validate_ra(&bytes[..15], 255, HOST), Err(RaError::Malformed(ParseError::TooShort)));
}

#[test]
fn domain_names_are_checked_and_shown() {
    let parse = |text: &str| text.parse::<DomainName>().map(|name| name.to_string());
    assert_eq!(parse("Example.ORG."), Ok("example.org".to_owned()));
    assert_eq!(parse("_dns.a-b"), Ok("_dns.a-b".to_owned()));
    assert_eq!(parse("."), Err(DomainNameError::Empty));
    assert_eq!(parse("a..b"), Err(DomainNameError::EmptyLabel));
    assert_eq!(parse("-a.b"), Err(DomainNameError::Hyphen));
    assert_eq!(parse("a b"), Err(DomainNameError::Character(' ')));
    assert_eq!(parse(&"a".repeat(64)), Err(DomainNameError::LabelTooLong));
    assert_eq!(parse(&["abcdefg"; 32].join(".")), Err(DomainNameError::TooLong));
    assert_eq!(name("example.org").wire_len(), 13);
}

#[test]
fn pref64_lifetimes_are_rounded_up_and_saturate() {
    assert_eq!(
        [0, 1, 8, 9, 65_528, 65_529, u64::MAX].map(saturating_pref64_lifetime),
        [0, 8, 8, 16, 65_528, 65_528, 65_528]
    );
}

#[test]
fn masks_clear_exactly_the_host_bits() {
    let ones = Ipv6Addr::from_bits(u128::MAX);
    assert_eq!(mask_prefix(ones, 0), Ipv6Addr::UNSPECIFIED);
    assert_eq!(mask_prefix(ones, 10), "ffc0::".parse::<Ipv6Addr>().unwrap());
    assert_eq!(mask_prefix(ones, 128), ones);
}

fn any_option() -> impl Strategy<Value = NdOption> {
    let address = any::<u128>().prop_map(Ipv6Addr::from_bits);
    let preference = prop_oneof![Just(Preference::Low), Just(Preference::Medium), Just(Preference::High)];
    let label = "[a-z0-9_]{1,12}";
    let domain = proptest::collection::vec(label, 1..5).prop_map(|labels| name(&labels.join(".")));
    prop_oneof![
        any::<[u8; 6]>().prop_map(|mac| NdOption::SourceLinkLayerAddress(mac.to_vec())),
        (any::<u8>(), any::<u8>(), any::<u32>(), any::<u32>(), address.clone()).prop_map(
            |(prefix_length, flags, valid_lifetime, preferred_lifetime, prefix)| {
                let flags = PrefixFlags(flags);
                let option = PrefixInformation { prefix_length, flags, valid_lifetime, preferred_lifetime, prefix };
                NdOption::PrefixInformation(option)
            }
        ),
        any::<u32>().prop_map(NdOption::Mtu),
        any::<u32>().prop_map(NdOption::AdvertisementInterval),
        (address.clone(), 0..=128_u8, preference, any::<u32>()).prop_map(
            |(prefix, prefix_length, preference, lifetime)| {
                let prefix = mask_prefix(prefix, prefix_length);
                NdOption::RouteInformation(RouteInformation { prefix, prefix_length, preference, lifetime })
            }
        ),
        (any::<u32>(), proptest::collection::vec(address.clone(), 1..5))
            .prop_map(|(lifetime, servers)| NdOption::Rdnss(Rdnss { lifetime, servers })),
        (any::<u32>(), proptest::collection::vec(domain, 1..5))
            .prop_map(|(lifetime, domains)| NdOption::Dnssl(Dnssl { lifetime, domains })),
        "[ -~]{1,60}".prop_map(NdOption::CaptivePortal),
        (0..=8191_u16, address, proptest::sample::select(vec![32_u8, 40, 48, 56, 64, 96])).prop_map(
            |(units, prefix, prefix_length)| {
                let prefix = mask_prefix(prefix, 96);
                NdOption::Pref64(Pref64 { lifetime: units * 8, prefix, prefix_length })
            }
        ),
        (100..=255_u8, 0..4_usize, any::<u8>())
            .prop_map(|(kind, units, fill)| NdOption::Unknown { kind, data: vec![fill; units * 8 + 6] }),
    ]
}

proptest! {
    #[test]
    fn what_is_emitted_is_parsed_as_the_same_value(
        hop_limit: u8, managed: bool, other_config: bool, home_agent: bool, other_flags in 0..8_u8,
        router_lifetime: u16, reachable_time: u32, retrans_timer: u32,
        options in proptest::collection::vec(any_option(), 0..8),
    ) {
        let preference = Preference::Low;
        let advertisement = RouterAdvertisement {
            hop_limit, managed, other_config, home_agent, preference, other_flags,
            router_lifetime, reachable_time, retrans_timer, options,
        };
        prop_assert_eq!(RouterAdvertisement::parse(&emit(&advertisement)), Ok(advertisement));
    }

    #[test]
    fn any_bytes_are_parsed_without_panic_and_reparse_the_same(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200), frame: bool,
    ) {
        if frame {
            // Make it likely that the options are reached.
            bytes.splice(0..bytes.len().min(16), KNOWN_BYTES[..16].iter().copied());
        }
        let _ = validate_rs(&bytes, 255, HOST);
        if let Ok(advertisement) = validate_ra(&bytes, 255, HOST) {
            prop_assert_eq!(RouterAdvertisement::parse(&emit(&advertisement)), Ok(advertisement));
        }
    }
}
