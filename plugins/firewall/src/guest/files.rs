//! Files of sets at the host: read once, and again whenever they change.

use std::collections::BTreeMap;
use std::rc::Rc;

use portreeve_sdk::files::File;
use portreeve_sdk::futures::future::{AbortHandle, abortable};
use portreeve_sdk::types::ErrorCode;

use super::{News, Tasks};

#[derive(Default)]
pub struct Files {
    followed: BTreeMap<String, Followed>,
    /// Numbers tell the answers for a file from those for one that was forgotten meanwhile.
    numbers: u64,
}

struct Followed {
    number: u64,
    file: Option<Rc<File>>,
    call: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.call.abort();
    }
}

impl Files {
    /// Reads a file, and from then on follows it.
    pub fn read(&mut self, path: String, tasks: &Tasks) {
        self.numbers += 1;
        let (number, name) = (self.numbers, path.clone());
        let (file, work) = match File::open(&path) {
            Ok(file) => {
                let file = Rc::new(file);
                (Some(file.clone()), Work::Read(file))
            }
            Err(code) => (None, Work::Tell(problem(&path, code))),
        };
        let call = start(work, name, number, tasks);
        self.followed.insert(path, Followed { number, file, call });
    }

    /// An answer came; true if it is still of interest, and then the next is waited for.
    pub fn follow_on(&mut self, path: &str, number: u64, tasks: &Tasks) -> bool {
        let Some(followed) = self.followed.get_mut(path).filter(|followed| followed.number == number) else {
            return false;
        };
        if let Some(file) = &followed.file {
            followed.call = start(Work::ReadChanged(file.clone()), path.to_owned(), number, tasks);
        }
        true
    }

    /// It is of no more interest.
    pub fn forget(&mut self, path: &str) {
        self.followed.remove(path);
    }
}

enum Work {
    Read(Rc<File>),
    ReadChanged(Rc<File>),
    Tell(String),
}

fn start(work: Work, name: String, number: u64, tasks: &Tasks) -> AbortHandle {
    let (work, handle) = abortable(async move {
        let contents = match work {
            Work::Tell(problem) => Err(problem),
            Work::Read(file) => file.read().await.map_err(|code| problem(&name, code)),
            Work::ReadChanged(file) => match file.changed().await {
                Ok(()) => file.read().await.map_err(|code| problem(&name, code)),
                // Nothing more is heard of it: what was read last stays.
                Err(_) => return News::Done,
            },
        };
        News::File(name, number, contents)
    });
    tasks.push(Box::pin(async move { work.await.unwrap_or(News::Done) }));
    handle
}

fn problem(path: &str, code: ErrorCode) -> String {
    let why = match code {
        ErrorCode::NotFound => "there is no such file",
        ErrorCode::TooBig => "it is larger than 16 MiB",
        ErrorCode::InvalidArgument => "it is no ordinary file, or its name has `..` in it",
        ErrorCode::Denied => "the core does not let this plugin read it; see the log for what is missing in `allow`",
        other => other.name(),
    };
    format!("cannot read {path}: {why}")
}
