//! The core among other programs: the service manager, foreign Varlink clients, a second core.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use portreeve_tests::lab::{Lab, Result, Site, Stage, ensure};

const WITHIN: Duration = Duration::from_secs(60);
const CONFIG: &str = r#"Router(plugins: {"probe": (config: ())})"#;

#[test]
fn the_service_manager_hears_ready_status_watchdog_and_stopping() -> Result {
    let mut lab = Lab::new()?;
    let netns = lab.netns("router")?;
    let site = Site::new(&lab, &Stage::find()?, CONFIG)?;
    let path = site.path("notify");
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(WITHIN))?;
    let notify = path.to_string_lossy().into_owned();
    let core = site.start_with(&netns, &[("NOTIFY_SOCKET", notify.as_str()), ("WATCHDOG_USEC", "200000")])?;
    let mut heard = String::new();
    let hear = |what: &str, heard: &mut String| -> Result {
        let deadline = Instant::now() + WITHIN;
        while !heard.lines().any(|line| line == what) {
            ensure(Instant::now() < deadline, || format!("{what} was not heard in\n{heard}"))?;
            let mut buffer = [0; 4096];
            let length = manager.recv(&mut buffer)?;
            heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
            heard.push('\n');
        }
        Ok(())
    };
    hear("READY=1", &mut heard)?;
    hear("STATUS=1 of 1 plugins ready", &mut heard)?;
    for _ in 0..3 {
        heard.clear();
        hear("WATCHDOG=1", &mut heard)?;
    }
    ensure(core.stop()?.success(), || "it did not end well".to_owned())?;
    hear("STOPPING=1", &mut heard)
}

#[test]
fn a_foreign_client_talks_plain_varlink_and_only_the_owner_may() -> Result {
    let mut lab = Lab::new()?;
    let netns = lab.netns("router")?;
    let site = Site::new(&lab, &Stage::find()?, CONFIG)?;
    let mut core = site.start(&netns)?;
    core.wait_ready("probe", WITHIN)?;
    let mode = std::fs::metadata(site.path("control"))?.permissions().mode();
    ensure(mode & 0o777 == 0o600, || format!("the socket's mode is {mode:o}"))?;
    let mut stream = UnixStream::connect(site.path("control"))?;
    stream.set_read_timeout(Some(WITHIN))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut call = |text: &str| -> Result<serde_json::Value> {
        stream.write_all(text.as_bytes())?;
        stream.write_all(&[0])?;
        let mut reply = Vec::new();
        reader.read_until(0, &mut reply)?;
        reply.pop();
        Ok(serde_json::from_slice(&reply).unwrap_or_default())
    };
    let info = call(r#"{"method":"org.varlink.service.GetInfo"}"#)?;
    ensure(info["parameters"]["product"] == "portreeve", || format!("{info}"))?;
    let status = call(r#"{"method":"org.portreeve.Control.Status"}"#)?;
    ensure(status["parameters"]["plugins"][0]["state"] == "ready", || format!("{status}"))?;
    let query = r#"{"method":"org.portreeve.Control.Query","parameters":{"plugin":"probe","request":["random"]}}"#;
    let answer = call(query)?;
    ensure(answer["parameters"]["values"][0]["value"] == "4096", || format!("{answer}"))?;
    let metrics = call(r#"{"method":"org.portreeve.Control.Metrics"}"#)?;
    let text = metrics["parameters"]["text"].as_str().unwrap_or_default().to_owned();
    ensure(text.contains("portreeve_core_plugin_up{plugin=\"probe\"} 1"), || text)
}

#[test]
fn a_second_core_on_the_same_socket_refuses_and_a_stale_socket_does_not_matter() -> Result {
    let mut lab = Lab::new()?;
    let netns = lab.netns("router")?;
    let site = Site::new(&lab, &Stage::find()?, CONFIG)?;
    // As a core that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(site.path("control"))?);
    let mut core = site.start(&netns)?;
    core.wait_ready("probe", WITHIN)?;
    let mut second = site.start_with(&netns, &[])?;
    let code = second.wait_end(WITHIN)?;
    ensure(code.code() == Some(1) && second.log().contains("another portreeve answers"), || second.log())?;
    ensure(core.plugin_state("probe").as_deref() == Some("ready"), || "the first one suffered".to_owned())
}

#[test]
fn logs_follow_and_name_an_unknown_plugin() -> Result {
    let mut lab = Lab::new()?;
    let netns = lab.netns("router")?;
    let site = Site::new(&lab, &Stage::find()?, CONFIG)?;
    let mut core = site.start(&netns)?;
    core.wait_ready("probe", WITHIN)?;
    core.command(&["status", "probe", "log", "first"])?;
    let log = core.command(&["logs", "probe"])?;
    ensure(log.contains("INFO probe: a probe says text=first") && !log.contains("portreeve is up"), || log)?;
    ensure(core.command(&["logs"])?.contains("portreeve is up"), || "the core's own records are missing".to_owned())?;
    let error = core.command(&["logs", "nobody"]).err().map(|e| e.to_string()).unwrap_or_default();
    ensure(error.contains("no plugin `nobody`"), || error)
}
