//! Files of the operator that a plugin reads: those that are granted, as they are now, and when they change.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portreeve::grants::{Grants, Need};
use portreeve_config::NamePattern;
use portreeve_tests::lab::{Result, ensure};

use super::inside::{Place, grants};

/// The core looks at a file every two seconds.
const NOTICED_WITHIN: Duration = Duration::from_secs(4);

type Change<'a> = &'a dyn Fn() -> std::io::Result<()>;

fn read(pattern: &str) -> Need {
    Need::Read(NamePattern::new(pattern).expect("a pattern"))
}

#[test]
fn a_granted_file_is_read_and_others_are_denied_whatever_their_name() -> Result {
    let place = Place::new()?;
    let directory = place.directory().join("lists");
    std::fs::create_dir_all(&directory)?;
    let (good, secret) = (directory.join("good.txt"), directory.join("secret"));
    std::fs::write(&good, "192.0.2.1")?;
    std::fs::write(&secret, "a secret")?;
    let shown = directory.display();
    place.run(&[read(&format!("{shown}/*.txt"))], async |probe| {
        probe.expect(&format!("file open {}", good.display()), &["ok"]).await?;
        probe.expect("file read", &["192.0.2.1"]).await?;
        for (path, code) in [
            (secret.display().to_string(), "denied"),
            ("/etc/shadow".to_owned(), "denied"),
            ("good.txt".to_owned(), "denied"),
            // A pattern of the grant may hold such a path; the host does not.
            (format!("{shown}/../lists/good.txt"), "invalid-argument"),
            (format!("{shown}/x/../../../../etc/x.txt"), "invalid-argument"),
        ] {
            probe.expect(&format!("file open {path}"), &[code]).await?;
        }
        // It need not be there yet.
        probe.expect(&format!("file open {shown}/late.txt"), &["ok"]).await?;
        probe.expect("file read", &["not-found"]).await?;
        let late = directory.join("late.txt");
        std::fs::create_dir(&late)?;
        probe.expect("file read", &["invalid-argument"]).await?;
        std::fs::remove_dir(&late)?;
        std::fs::File::create(&late)?.set_len((16 << 20) + 1)?;
        probe.expect("file read", &["too-big"]).await?;
        std::fs::write(&late, "there")?;
        probe.expect("file read", &["there"]).await?;
        // Taken back between two calls.
        probe.instance.set_grants(Arc::new(Grants::none()));
        probe.expect("file read", &["denied"]).await
    })
}

#[test]
fn a_file_that_is_written_replaced_or_removed_is_noticed_and_one_that_is_not_is_waited_for() -> Result {
    let place = Place::new()?;
    let file = place.directory().join("list.txt");
    let shown = file.display().to_string();
    std::fs::write(&file, "one")?;
    let needs = [read(&shown)];
    place.run(&needs, async |probe| {
        probe.expect(&format!("file open {shown}"), &["ok"]).await?;
        probe.expect("file read", &["one"]).await?;
        let replaced = place.directory().join("new");
        let work: [(&str, &str, Change<'_>); 4] = [
            ("written", "two", &|| std::fs::write(&file, "two")),
            ("replaced", "six", &|| std::fs::write(&replaced, "six").and_then(|()| std::fs::rename(&replaced, &file))),
            ("removed", "not-found", &|| std::fs::remove_file(&file)),
            ("made", "again", &|| std::fs::write(&file, "again")),
        ];
        for (what, contents, change) in work {
            let begun = Instant::now();
            probe.expect_after("file changed", || Ok(change()?), &["ok"]).await?;
            ensure(begun.elapsed() < NOTICED_WITHIN, || format!("{what}: noticed after {:?}", begun.elapsed()))?;
            probe.expect("file read", &[contents]).await?;
        }
        let take = || {
            probe.instance.set_grants(Arc::new(Grants::none()));
            Ok(())
        };
        probe.expect_after("file changed", take, &["denied"]).await?;
        probe.instance.set_grants(Arc::new(grants(&needs)));
        Ok(())
    })
}
