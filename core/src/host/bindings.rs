//! The one place where the WIT package becomes Rust. Everything else uses these types.
#![expect(missing_docs, reason = "generated from wit/, which documents every item")]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: {
        "portreeve:plugin/tun.[method]device.packets": store | trappable,
        "portreeve:plugin/tun.[method]device.send": store | trappable,
        default: trappable,
    },
    exports: { default: async },
    with: {
        "portreeve:plugin/links.watch": crate::host::links::LinkWatch,
        "portreeve:plugin/facts.watch": crate::host::facts::FactWatch,
        "portreeve:plugin/metrics.counter": crate::host::metrics::Counter,
        "portreeve:plugin/metrics.gauge": crate::host::metrics::Gauge,
        "portreeve:plugin/metrics.histogram": crate::host::metrics::Histogram,
        "portreeve:plugin/raw-ip.icmpv6-socket": crate::host::raw_ip::Icmpv6Handle,
        "portreeve:plugin/raw-ip.ipv4-socket": crate::host::ipv4::Ipv4Handle,
        "portreeve:plugin/tun.device": crate::host::tun::TunHandle,
        "portreeve:plugin/udp.socket": crate::host::udp::UdpHandle,
        "portreeve:plugin/tcp.listener": crate::host::tcp::ListenerHandle,
        "portreeve:plugin/tcp.connection": crate::host::tcp::ConnectionHandle,
        "portreeve:plugin/netlink.socket": crate::host::netlink::NetlinkHandle,
        "portreeve:plugin/netfilter.dump": crate::host::netfilter::DumpHandle,
        "portreeve:plugin/netfilter.watch": crate::host::netfilter::WatchHandle,
        "portreeve:plugin/files.file": crate::host::files::FileHandle,
    },
});
