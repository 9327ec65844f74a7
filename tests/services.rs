//! The services that other tests use are what those take them for: real, and gone when nobody needs them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::support::{services, top, until};

/// Longer than any service takes to start, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(200);

fn answers(address: &str) -> bool {
    let host = address.trim_start_matches("http://").split('/').next().expect("a host");
    TcpStream::connect(host).is_ok()
}

/// The process ids of the nodes in a folder of services.
fn pids(folder: &Path) -> Vec<String> {
    let nodes = fs::read_dir(folder.join("registry")).expect("started");
    let pid =
        |node: fs::DirEntry| fs::read_to_string(node.path().join("pid")).ok()?.split(' ').next().map(str::to_owned);
    nodes.filter_map(|node| pid(node.expect("an entry"))).collect()
}

#[test]
fn a_node_can_be_killed_and_started_again() {
    let registry = services::own_registry();
    assert!(answers(registry.address()));
    registry.kill(1);
    assert!(!answers(registry.address()));
    registry.start_again(1);
    assert!(answers(registry.address()));
}

/// What runs the test program may kill it with SIGKILL, and what runs that may kill the holder too.
#[test]
fn nodes_end_with_whoever_holds_them_however_that_ends() {
    for kill_holder in [false, true] {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("run");
        let mut holder = Command::new("python3")
            .arg(top().join("tests/services/services.py"))
            .arg("hold")
            .env("SERVICES_DIR", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut commands = holder.stdin.take().expect("piped");
        let lines = BufReader::new(holder.stdout.take().expect("piped")).lines();
        commands.write_all(b"start registry\n").expect("it listens");
        let answer: Vec<String> = lines.map(|line| line.expect("text")).take(1).collect();
        assert_eq!(answer, ["= done"]);
        let pids = pids(&folder);
        assert_eq!(pids.len(), 1);
        if kill_holder {
            holder.kill().expect("killed");
            holder.wait().expect("ended");
        } else {
            drop(commands);
            holder.wait().expect("ended");
            assert!(!folder.exists(), "the folder is left behind");
        }
        until("the end of the node", LIMIT, || pids.iter().all(|pid| !Path::new("/proc").join(pid).exists()));
    }
}

#[test]
fn what_is_missing_is_named_with_the_way_to_install_it() {
    let temporary = tempfile::tempdir().expect("a folder");
    for (java, cache, says) in
        [("no-such-java", None, "there is no `no-such-java`"), ("true", Some(temporary.path()), "there is no `mvn`")]
    {
        let mut command = Command::new("python3");
        command.arg(top().join("tests/services/services.py")).args(["start", "registry"]);
        command.env("SERVICES_JAVA", java).env("SERVICES_DIR", temporary.path().join("run"));
        if let Some(cache) = cache {
            // A search path that has a Python and nothing else.
            let python =
                Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("python3");
            let python = String::from_utf8(python.stdout).expect("a path");
            let bin = temporary.path().join("bin");
            fs::create_dir(&bin).expect("a folder");
            std::os::unix::fs::symlink(python.trim(), bin.join("python3")).expect("a link");
            command.env("SERVICES_CACHE", cache).env("PATH", bin);
        }
        let output = command.output().expect("python3");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(says) && told.contains("apt install"), "{told}");
    }
}

#[test]
fn three_brokers_answer() {
    let brokers: Vec<&str> = services::kafka().address().split(',').collect();
    assert_eq!(brokers.len(), 3);
    assert!(brokers.into_iter().all(answers));
}
