//! What is seen of a module's file: another one in its place, a link that leads elsewhere, a file that is written bit by bit,
//! one that goes and comes back.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::{MODULE, Version, finish, flows, folder, put, swapped};
use crate::support::Folder;

const KEYS: &str = "trial_batches = 1";

/// Points `modules/current` at another folder, in one go.
fn flip(folder: &Folder, to: &str) {
    let new = folder.path("modules/flip");
    symlink(to, &new).expect("a link");
    fs::rename(new, folder.path("modules/current")).expect("renamed");
}

#[test]
fn every_way_to_replace_a_file_is_seen() {
    let versions: Vec<Version> = (1..=6).map(Version::of).collect();
    let folder = folder(2_000, KEYS);
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 50);
    let file = folder.path(MODULE);

    // Written over, in place.
    fs::write(&file, versions[1].bytes()).expect("written");
    swapped(&mut running, &versions[1]);

    // Gone, and back later.
    fs::remove_file(&file).expect("removed");
    running.await_said("the module's file is gone");
    flows(&folder, &mut running, 50);
    fs::write(&file, versions[2].bytes()).expect("written");
    swapped(&mut running, &versions[2]);

    // Bit by bit: whether some of it is looked at or not, all of it is taken in the end.
    let bytes = versions[3].bytes();
    let mut slow = File::create(&file).expect("made");
    for some in bytes.chunks(bytes.len().div_ceil(20)) {
        slow.write_all(some).expect("written");
        slow.flush().expect("written");
        flows(&folder, &mut running, 1);
    }
    swapped(&mut running, &versions[3]);

    // A burst: only the last one counts.
    for n in 100..120 {
        put(&folder, &Version::of(n).bytes());
    }
    put(&folder, &versions[4].bytes());
    swapped(&mut running, &versions[4]);

    // The folder itself is another one.
    fs::rename(folder.path("modules"), folder.path("before")).expect("renamed");
    fs::create_dir(folder.path("modules")).expect("a folder");
    put(&folder, &versions[5].bytes());
    swapped(&mut running, &versions[5]);

    let outcome = finish(&folder, running);
    outcome.must_be_exact(&versions);
    outcome.must_only_grow();
}

#[test]
fn a_link_that_leads_elsewhere_is_seen() {
    let versions: Vec<Version> = (1..=4).map(Version::of).collect();
    let folder = folder(2_000, KEYS);
    for version in &versions {
        let release = folder.path(format!("modules/v{}", version.number));
        fs::create_dir(&release).expect("a folder");
        fs::write(release.join("m.wasm"), version.bytes()).expect("written");
    }
    flip(&folder, "v1");
    let text = fs::read_to_string(folder.path("pipeline.toml")).expect("the pipeline");
    fs::write(folder.path("pipeline.toml"), text.replace(MODULE, "modules/current/m.wasm")).expect("written");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 50);
    for version in &versions[1..] {
        flip(&folder, &format!("v{}", version.number));
        swapped(&mut running, version);
    }
    let outcome = finish(&folder, running);
    outcome.must_be_exact(&versions);
}

#[test]
fn a_file_can_be_looked_at_instead_and_left_alone() {
    let versions: Vec<Version> = (1..=2).map(Version::of).collect();
    let polled = folder(2_000, &format!("{KEYS}\nwatch = \"poll\""));
    let mut running = polled.start(&["run"]);
    flows(&polled, &mut running, 50);
    put(&polled, &versions[1].bytes());
    swapped(&mut running, &versions[1]);
    finish(&polled, running).must_be_exact(&versions);

    let left_alone = folder(2_000, &format!("{KEYS}\nwatch = false"));
    let mut running = left_alone.start(&["run"]);
    flows(&left_alone, &mut running, 50);
    put(&left_alone, &versions[1].bytes());
    flows(&left_alone, &mut running, 4_000);
    assert!(!running.said().contains("on trial"), "{}", running.said());
    running.interrupt();
    running.end().must_end(0);
}
