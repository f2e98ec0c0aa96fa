use super::*;

fn pick_at(faults: &Faults, action: &str, form: &Form, user_agent: &str, now: Timestamp) -> Picked {
    faults.pick(&Subject { account: "000000000000", region: "us-west-2", user_agent, service: "ec2", action, form, now })
}

fn pick(faults: &Faults, action: &str, form: &Form) -> (Duration, Option<Fault>) {
    let picked = pick_at(faults, action, form, "test", Timestamp::UNIX_EPOCH);
    (picked.delay, picked.fault)
}

#[test]
fn nth_times_and_parameters_pick_calls() {
    let faults = Faults::default();
    let named = Form::from([("Name".to_owned(), "lf-a".to_owned())]);
    faults.add(Rule { nth: Some(2), ..Rule::on("Describe*", Fault::Throttle) });
    assert_eq!(pick(&faults, "CreateTags", &named).1, None);
    assert_eq!(pick(&faults, "DescribeVpcs", &named).1, None);
    assert_eq!(pick(&faults, "DescribeTags", &named).1, Some(Fault::Throttle));
    assert_eq!(pick(&faults, "DescribeTags", &named).1, None);

    faults.clear();
    let parameter = |pattern: &str| Some(("Name".to_owned(), pattern.to_owned()));
    let id = faults.add(Rule { times: Some(1), parameter: parameter("lf-*"), ..Rule::on("*", Fault::DropAfter) });
    assert_eq!(pick(&faults, "X", &Form::new()).1, None);
    assert_eq!(pick(&faults, "X", &named).1, Some(Fault::DropAfter));
    assert_eq!(pick(&faults, "X", &named).1, None);
    faults.remove(id);
    assert!(faults.rules().is_empty());

    faults.add(Rule { parameter: parameter("regex:lf-[ab]"), ..Rule::on("*", Fault::Throttle) });
    assert_eq!(pick(&faults, "X", &named).1, Some(Fault::Throttle));
    let longer = Form::from([("Name".to_owned(), "lf-ab".to_owned())]);
    assert_eq!(pick(&faults, "X", &longer).1, None, "the whole value has to match");
}

#[test]
fn every_user_agent_and_probability_pick_calls() {
    let (faults, form) = (Faults::default(), Form::new());
    faults.add(Rule { every: Some(3), ..Rule::on("*", Fault::Throttle) });
    let fates: Vec<bool> = (0..7).map(|_| pick(&faults, "X", &form).1.is_some()).collect();
    assert_eq!(fates, [false, false, true, false, false, true, false]);

    faults.clear();
    faults.add(Rule { user_agent: Some("aws-cli/*".to_owned()), ..Rule::on("*", Fault::Throttle) });
    let by = |agent| pick_at(&faults, "X", &form, agent, Timestamp::UNIX_EPOCH).fault.is_some();
    assert!(by("aws-cli/2") && !by("Boto3/1"));

    let draw = |seed| -> Vec<bool> {
        let faults = Faults::new(seed);
        faults.add(Rule { probability: Some(0.3), ..Rule::on("*", Fault::Throttle) });
        (0..1000).map(|_| pick(&faults, "X", &form).1.is_some()).collect()
    };
    let fates = draw(1);
    let hits = fates.iter().filter(|hit| **hit).count();
    assert!((250..350).contains(&hits), "{hits}");
    assert!(fates == draw(1) && fates != draw(2), "reproducible, and the seed's own");
}

#[test]
fn a_write_can_be_the_last_one_that_gets_through() {
    let faults = Faults::default();
    // In this order: a rule behind one that fires does not count the call.
    faults.add(Rule { writes: true, from: Some(3), ..Rule::on("*", Fault::DropBefore) });
    faults.add(Rule { writes: true, nth: Some(2), ..Rule::on("*", Fault::DropAfter) });
    let form = Form::new();
    let fates: Vec<_> = ["CreateTags", "DescribeTags", "DeleteTags", "GetSubnets", "CreateTags", "ListTags", "AddTags"]
        .map(|action| pick(&faults, action, &form).1)
        .into();
    let (before, after) = (Some(Fault::DropBefore), Some(Fault::DropAfter));
    assert_eq!(fates, [None, None, after, None, before.clone(), None, before]);
}

#[test]
fn delays_add_up_and_the_first_other_fault_wins_without_using_up_the_next() {
    let faults = Faults::default();
    faults.add(Rule::on("*", Fault::Delay(Duration::from_millis(100))));
    faults.add(Rule { times: Some(1), ..Rule::on("*", Fault::DropBefore) });
    faults.add(Rule { times: Some(1), ..Rule::on("*", Fault::Html500) });
    faults.add(Rule::on("*", Fault::Delay(Duration::from_millis(50))));
    let delay = Duration::from_millis(150);
    assert_eq!(pick(&faults, "X", &Form::new()), (delay, Some(Fault::DropBefore)));
    assert_eq!(pick(&faults, "X", &Form::new()), (delay, Some(Fault::Html500)));
    assert_eq!(pick(&faults, "X", &Form::new()), (delay, None));

    faults.clear();
    let (from, to) = (Duration::from_millis(10), Duration::from_millis(20));
    faults.add(Rule::on("*", Fault::DelayBetween(from, to)));
    let delays: Vec<Duration> = (0..100).map(|_| pick(&faults, "X", &Form::new()).0).collect();
    assert!(delays.iter().all(|delay| (from..=to).contains(delay)) && delays.iter().any(|delay| *delay != delays[0]));
}

#[test]
fn buckets_are_of_one_action_and_refill_on_the_clock() {
    let (faults, form) = (Faults::default(), Form::new());
    faults.add(Rule::on("Describe*", Fault::Bucket { burst: 2, per_second: 0.5 }));
    faults.add(Rule::on("*", Fault::Bucket { burst: 1, per_second: 0.0 }));
    let start = Timestamp::UNIX_EPOCH;
    let at = |action: &str, seconds: i64| {
        pick_at(&faults, action, &form, "", start + jiff::SignedDuration::from_secs(seconds)).fault.is_none()
    };
    assert!(at("DescribeVpcs", 0) && at("DescribeVpcs", 0) && !at("DescribeVpcs", 1), "the first bucket alone counts");
    assert!(at("DescribeSubnets", 1), "each action has its own");
    assert!(at("DescribeVpcs", 2) && !at("DescribeVpcs", 3) && at("DescribeVpcs", 4));
    assert!(at("CreateTags", 4) && !at("CreateTags", 1000));
    let set: Vec<Fault> = set("aws-like").unwrap().into_iter().map(|rule| rule.fault).collect();
    assert!(set.iter().all(|fault| fault.check().is_ok()) && set.len() >= 5);
}

#[test]
fn rules_come_as_json_and_are_told_what_is_wrong() {
    let rule: Rule = serde_json::from_str(r#"{"action": "Create*", "nth": 2, "fault": {"delay": 0.1}}"#).unwrap();
    assert_eq!(rule.fault, Fault::Delay(Duration::from_millis(100)));
    let rule: Rule = serde_json::from_str(r#"{"fault": {"delay_between": [0.1, 0.2]}}"#).unwrap();
    assert_eq!(rule.fault, Fault::DelayBetween(Duration::from_millis(100), Duration::from_millis(200)));
    let rule: Rule = serde_json::from_str(r#"{"fault": "throttle"}"#).unwrap();
    let asked = |service| fault::Asked { account: "000000000000", service, action: "X" };
    assert_eq!(rule.fault.refusal(asked("ec2")).unwrap().status, 503);
    assert_eq!(rule.fault.refusal(asked("elasticloadbalancing")).unwrap().code, "Throttling");
    let wrong = |json: &str| match serde_json::from_str::<Rule>(json) {
        Ok(rule) => rule.check().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    for (json, words) in [
        (r#"{"acton": "x", "fault": "throttle"}"#, &["acton", "action"][..]),
        (r#"{"fault": "thrtle"}"#, &["thrtle", "throttle"]),
        (r#"{"nth": 0, "fault": "throttle"}"#, &["nth", "1 or more"]),
        (r#"{"probability": 2, "fault": "throttle"}"#, &["probability", "0 to 1"]),
        (r#"{"account": "me", "fault": "throttle"}"#, &["account", "12 digits"]),
        (r#"{"parameter": ["Name", "regex:("], "fault": "throttle"}"#, &["parameter", "regular expression"]),
        (r#"{"fault": {"error": {"code": "X", "status": 200, "message": ""}}}"#, &["status", "400 to 599"]),
        (r#"{"fault": {"bucket": {"burst": 0, "per_second": 1}}}"#, &["burst", "1 or more"]),
        (r#"{"fault": {"delay_between": [2, 1]}}"#, &["delay_between", "shorter"]),
        (r#"{"fault": {"replace": {"element": "a b", "text": ""}}}"#, &["element", "State"]),
    ] {
        let error = wrong(json);
        assert!(words.iter().all(|word| error.contains(word)), "{json}: {error}");
    }
    let never = Faults::default();
    never.add(Rule { nth: Some(0), ..Rule::on("*", Fault::Throttle) });
    assert_eq!(pick(&never, "X", &Form::new()).1, None);
}
