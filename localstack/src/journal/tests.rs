use jiff::Timestamp;

use super::*;

fn entry(action: &str) -> Entry {
    Entry {
        sequence: 0,
        time: Timestamp::UNIX_EPOCH,
        account: "000000000000".to_owned(),
        region: "us-west-2".to_owned(),
        user_agent: "test".to_owned(),
        service: "ec2".to_owned(),
        action: action.to_owned(),
        parameters: BTreeMap::new(),
        result: Outcome::Ok,
        fault: None,
        duration: Duration::ZERO,
        write: is_write(action),
        request_id: String::new(),
    }
}

#[tokio::test]
async fn waits_for_what_has_happened_and_for_what_will() {
    let journal = Journal::new();
    journal.record(entry("DescribeVpcs"));
    let from = journal.next_sequence();
    journal.record(entry("CreateTags"));
    let found = journal.wait_for(from, |entry| entry.write, Duration::from_secs(5)).await.unwrap();
    assert_eq!((found.sequence, found.action.as_str()), (2, "CreateTags"));
    let waiting = tokio::spawn({
        let journal = journal.clone();
        async move { journal.wait_for_calls(1, &Filter::action("*Tags"), 3, Duration::from_secs(5)).await }
    });
    tokio::task::yield_now().await;
    for action in ["DeleteTags", "DescribeVpcs", "CreateTags", "CreateTags"] {
        journal.record(entry(action));
    }
    let sequences: Vec<u64> = waiting.await.unwrap().iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [2, 3, 5], "the first three, and no more");
    journal.clear();
    assert_eq!((journal.entries().len(), journal.next_sequence()), (0, 7));
    assert!(journal.wait_for(1, |_| true, Duration::from_millis(1)).await.is_none());
}

#[test]
fn the_ring_is_bounded_by_text_and_tells_what_it_dropped() {
    let journal = Journal::new();
    let large = "x".repeat(CAPACITY_BYTES / 4);
    for _ in 0..6 {
        journal.record(Entry { parameters: BTreeMap::from([("P".to_owned(), large.clone())]), ..entry("CreateTags") });
    }
    let counts = journal.counts();
    assert_eq!((counts.kept, counts.dropped, counts.next_sequence), (3, 3, 7));
    assert_eq!(counts.actions.iter().map(|action| action.calls).sum::<u64>(), 6, "dropped calls are counted too");
    assert_eq!(journal.entries()[0].sequence, 4);
    journal.clear();
    assert_eq!((journal.counts().dropped, journal.counts().actions.len()), (0, 0));
}

#[test]
fn secrets_are_not_kept() {
    let journal = Journal::new();
    let names = ["PrivateKey", "DefaultActions.member.1.AuthenticateOidcConfig.ClientSecret", "Name"];
    journal.record(Entry { parameters: names.map(|name| (name.to_owned(), "s3cret".to_owned())).into(), ..entry("X") });
    let kept: Vec<String> = journal.entries()[0].parameters.values().cloned().collect();
    assert_eq!(kept, ["(redacted)", "s3cret", "(redacted)"], "in the order of names");
}

#[test]
fn filters_pick_by_every_condition() {
    let journal = Journal::new();
    let error = Outcome::Error { code: "Throttling".to_owned(), status: 400 };
    journal.record(Entry { result: error, fault: Some("throttle".to_owned()), ..entry("CreateTags") });
    journal.record(Entry { result: Outcome::Dropped, user_agent: "other".to_owned(), ..entry("DeleteTags") });
    journal.record(Entry { parameters: [("Name".to_owned(), "lf-a".to_owned())].into(), ..entry("DescribeTags") });
    journal.record(entry("DescribeTags"));
    let select = |json: serde_json::Value| -> Vec<u64> {
        let filter: Filter = serde_json::from_value(json).unwrap();
        journal.select(0, &filter, usize::MAX).iter().map(|entry| entry.sequence).collect()
    };
    for (filter, expected) in [
        (serde_json::json!({}), &[1, 2, 3, 4][..]),
        (serde_json::json!({"action": "De*"}), &[2, 3, 4]),
        (serde_json::json!({"write": true}), &[1, 2]),
        (serde_json::json!({"outcome": "dropped"}), &[2]),
        (serde_json::json!({"code": "Throttling"}), &[1]),
        (serde_json::json!({"fault": "*"}), &[1]),
        (serde_json::json!({"user_agent": "o*"}), &[2]),
        (serde_json::json!({"parameter": ["Name", "lf-*"]}), &[3]),
        (serde_json::json!({"service": "sts"}), &[]),
    ] {
        assert_eq!(select(filter.clone()), expected, "{filter}");
    }
    assert_eq!(journal.select(0, &Filter::action("De*"), 2)[0].sequence, 3, "the newest two");
}
