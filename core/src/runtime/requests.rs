//! What is asked over the control socket: answered here, or by the plugin that is asked.

use super::{ANSWER_WITHIN, Core, News};
use crate::control::protocol::{ControlError, QueryReply};
use crate::control::server::Request;
use crate::plugin::instance::Command;

/// Queries in a row that a plugin may leave without an answer.
const MAX_UNANSWERED: u32 = 3;

impl Core {
    pub(super) fn handle_request(&mut self, request: Request) {
        match request {
            Request::Status(answer) => drop(answer.send(self.status())),
            Request::Metrics(answer) => {
                self.update_metrics();
                let _ = answer.send(self.shared.metrics.render());
            }
            Request::Query(query, answer) => {
                if !self.entries.contains_key(&query.plugin) {
                    let _ = answer.send(Err(ControlError::NoSuchPlugin { plugin: query.plugin }));
                    return;
                }
                let run = self.supervisor.view(&query.plugin).map_or(0, |view| view.run);
                let news = self.news.0.clone();
                let (reply, replied) = tokio::sync::oneshot::channel();
                let asked = self.instances.get(&query.plugin).map(|i| i.command(Command::Query(query.request, reply)));
                let plugin = query.plugin;
                let state = self.status_of(&plugin).map_or_else(String::new, |status| status.state);
                tokio::spawn(async move {
                    let failed = |reason: String| ControlError::PluginFailed { plugin: plugin.clone(), reason };
                    let answered = match asked {
                        Some(Ok(())) => match tokio::time::timeout(ANSWER_WITHIN, replied).await {
                            Ok(Ok(answer)) => {
                                let _ = news.send(News::Queried { plugin: plugin.clone(), run, answered: true });
                                answer.map(QueryReply::from).map_err(failed)
                            }
                            Ok(Err(_)) => Err(failed("it ended before it answered".to_owned())),
                            Err(_) => {
                                let _ = news.send(News::Queried { plugin: plugin.clone(), run, answered: false });
                                Err(failed("it did not answer within 10 s".to_owned()))
                            }
                        },
                        Some(Err(_)) => Err(failed("too many requests wait for it".to_owned())),
                        None => Err(failed(format!("it does not run (it is {state})"))),
                    };
                    let _ = answer.send(answered);
                });
            }
        }
    }

    /// A plugin that leaves several queries in a row without an answer is not well, whatever it says of itself.
    pub(super) fn handle_queried(&mut self, plugin: String, run: u64, answered: bool) {
        if answered {
            self.unanswered.remove(&plugin);
            return;
        }
        let (counted, times) = self.unanswered.entry(plugin.clone()).or_default();
        *times = if *counted == run { *times + 1 } else { 1 };
        *counted = run;
        if *times >= MAX_UNANSWERED {
            self.supervisor.give_up(&plugin, run, "it left several queries without an answer");
        }
    }
}
