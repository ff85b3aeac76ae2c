//! The service as a foreign client meets it: raw bytes on a socket pair.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::LogLevel;
use crate::stores::logs::Record;

struct Client(UnixStream);

impl Client {
    /// A connection to a service with `logs`, whose core knows the plugin `radvd`.
    fn new(logs: LogStore) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (core, mut requests) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                match request {
                    Request::Query(q, answer) => {
                        let _ = answer.send(Err(ControlError::NoSuchPlugin { plugin: q.plugin }));
                    }
                    Request::Metrics(answer) => drop(answer.send("x".repeat(1_000_000))),
                    Request::Status(_) => {}
                }
            }
        });
        tokio::spawn(serve(theirs, Service { core, logs }));
        Self(ours)
    }

    async fn ask(&mut self, text: &str) -> Value {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.write_all(&[0]).await.unwrap();
        self.reply().await.expect("an answer")
    }

    async fn reply(&mut self) -> Option<Value> {
        let mut bytes = Vec::new();
        loop {
            match self.0.read_u8().await {
                Ok(0) => return Some(serde_json::from_slice(&bytes).unwrap()),
                Ok(byte) => bytes.push(byte),
                Err(_) => return None,
            }
        }
    }
}

fn logs() -> LogStore {
    LogStore::new(LogLevel::Info, false)
}

fn record(plugin: &str) -> Record {
    Record {
        time: std::time::SystemTime::UNIX_EPOCH,
        level: LogLevel::Info,
        plugin: Some(plugin.into()),
        message: "m".into(),
        fields: vec![],
    }
}

#[tokio::test]
async fn a_foreign_client_finds_its_way() {
    let mut c = Client::new(logs());
    let info = c.ask(r#"{"method":"org.varlink.service.GetInfo"}"#).await;
    assert_eq!(info["parameters"]["interfaces"][1], INTERFACE);
    let text = r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.portreeve.Control"}}"#;
    assert_eq!(c.ask(text).await["parameters"]["description"], DESCRIPTION);
}

#[tokio::test]
async fn mistakes_are_answered_by_name_and_the_connection_lives_on() {
    let mut c = Client::new(logs());
    for (text, says) in [
        (r#"{"method":"org.portreeve.Control.Fly","parameters":{"x":1}}"#, "org.varlink.service.MethodNotFound"),
        (r#"{"method":"com.example.X"}"#, "org.varlink.service.InterfaceNotFound"),
        (r#"{"method":"nodots"}"#, "org.varlink.service.MethodNotFound"),
        (
            r#"{"method":"org.portreeve.Control.Query","parameters":{"plugin":3}}"#,
            "org.varlink.service.InvalidParameter",
        ),
        (
            r#"{"method":"org.portreeve.Control.Query","parameters":{"plugin":"p"}}"#,
            "org.portreeve.Control.NoSuchPlugin",
        ),
        (r#"{"method":"org.portreeve.Control.Logs","parameters":{}}"#, "org.varlink.service.ExpectedMore"),
    ] {
        assert_eq!(c.ask(text).await["error"], says, "{text}");
    }
}

#[tokio::test]
async fn a_reply_of_a_megabyte_arrives() {
    let mut c = Client::new(logs());
    let (mut read, mut write) = c.0.split();
    write.write_all(b"{\"method\":\"org.portreeve.Control.Metrics\"}\0").await.unwrap();
    let mut bytes = Vec::new();
    while bytes.last() != Some(&0) {
        let mut chunk = [0; 65536];
        let n = read.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..n]);
    }
    assert!(bytes.len() > 1_000_000);
}

#[tokio::test]
async fn logs_are_filtered_followed_and_end_with_a_reply_without_a_record() {
    let store = logs();
    store.push(record("radvd"));
    store.push(record("other"));
    let mut c = Client::new(store.clone());
    let text = r#"{"method":"org.portreeve.Control.Logs","more":true,"parameters":{"plugin":"radvd","follow":false}}"#;
    let first = c.ask(text).await;
    assert_eq!((&first["parameters"]["record"]["plugin"], &first["continues"]), (&json!("radvd"), &json!(true)));
    let last = c.reply().await.unwrap();
    assert!(last["parameters"]["record"].is_null() && last["continues"] != json!(true), "{last}");
    let text = r#"{"method":"org.portreeve.Control.Logs","more":true,"parameters":{"plugin":"other","follow":true}}"#;
    c.ask(text).await;
    store.push(record("radvd"));
    store.push(record("other"));
    assert_eq!(c.reply().await.unwrap()["parameters"]["record"]["plugin"], "other");
}

#[tokio::test]
async fn garbage_and_endless_requests_close_the_connection() {
    let mut c = Client::new(logs());
    c.0.write_all(b"{not json\0").await.unwrap();
    assert!(c.reply().await.is_none());
    let mut c = Client::new(logs());
    let endless = vec![b' '; MAX_REQUEST * 4];
    let _ = c.0.write_all(&endless).await;
    assert!(c.reply().await.is_none());
}

#[tokio::test]
async fn a_client_that_closes_its_side_after_asking_still_gets_its_answer() {
    let mut c = Client::new(logs());
    c.0.write_all(b"{\"method\":\"org.varlink.service.GetInfo\"}\0").await.unwrap();
    c.0.shutdown().await.unwrap();
    assert!(c.reply().await.unwrap()["parameters"]["vendor"].is_string());
    assert!(c.reply().await.is_none());
}

#[tokio::test]
async fn a_oneway_call_gets_no_reply() {
    let mut c = Client::new(logs());
    c.0.write_all(b"{\"method\":\"com.example.X\",\"oneway\":true}\0").await.unwrap();
    let info = c.ask(r#"{"method":"org.varlink.service.GetInfo"}"#).await;
    assert!(info["parameters"]["vendor"].is_string(), "{info}");
}
