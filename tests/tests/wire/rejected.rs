//! What cannot be accepted: the sender hears why, and people can read it, whole.

use anyhow::Result;
use highwater_tests::{deadline::until, raw_nats::RawNats, rejected};

use crate::{SERVER, shop, still_works};

/// The names and values of headers.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// Publishes to `hw.<namespace>.do.<rest>` and checks the answer and what is kept.
async fn check(raw: &mut RawNats, namespace: &str, request: (&str, Headers<'_>, &[u8]), code: &str, reason: &str) {
    let (rest, headers, body) = request;
    let reply = raw.inbox().await.unwrap();
    let headers = [headers, &[("Hw-Reply", &reply)]].concat();
    let subject = format!("hw.{namespace}.do.{rest}");
    raw.store(&subject, &headers, body).await.unwrap_or_else(|error| panic!("{rest}: {error}"));
    let answer = raw.next_on(&reply).await.unwrap();
    let told = answer.header("Hw-Reason");
    assert_eq!((answer.header("Hw-Kind"), answer.header("Hw-Code")), ("rejected", code), "{rest}: {told}");
    assert!(told.contains(reason), "{rest}: {told:?} does not say {reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_cannot_be_read_says_what_is_wrong_with_it() -> Result<()> {
    let (highwater, worker, mut raw) = shop("unread").await;
    let long = format!("start.shop.double.{}", "x".repeat(600));
    let none: Headers<'_> = &[];
    let body: &[u8] = b"{\"amount\": 5}";
    let form = "hw.<namespace>.do.<verb>.<queue>.<name>.<workflow id>";
    let cases: [(&str, Headers<'_>, &[u8], &str, &str); 17] = [
        ("start.shop.double", none, body, "bad-subject", form),
        ("start", none, body, "bad-subject", form),
        ("start.shop.double.a.b", none, body, "bad-subject", "=2E"),
        ("engine.shop.activity.0123456789abcdef0123456789abcdef.k", none, body, "bad-subject", form),
        ("start.shop.double.a=2eb", none, body, "bad-subject", "publish to \"a=2Eb\" instead"),
        ("start.shop.double.=41", none, body, "bad-subject", "publish to \"A\" instead"),
        ("start.shop.double.é", none, body, "bad-subject", "publish to \"=C3=A9\" instead"),
        ("start.shop.double.a*b", none, body, "bad-subject", "publish to \"a=2Ab\" instead"),
        ("start.shop.dou!ble.k", none, body, "bad-subject", "publish to \"dou=21ble\" instead"),
        (&long, none, body, "bad-subject", "the limit is 512"),
        ("dance.shop.double.k", none, body, "bad-subject", "the verbs are start, signal, cancel, terminate"),
        ("engine.shop.activity.k", none, body, "bad-subject", "the verbs are start, signal, cancel, terminate"),
        ("start.shop.double.k", none, b"{not json", "bad-body", "the body is not JSON"),
        ("start.shop.double.k", none, b"\xff\xfe", "bad-body", "the body is not JSON"),
        ("start.shop.double.k", &[("Hw-Run", "five")], body, "bad-header", "a run id (a UUID)"),
        ("start.shop.double.k", &[("Hw-Run-Timeout-Ms", "0")], body, "bad-header", "a number of milliseconds"),
        ("start.shop.double.k", &[("Hw-Id-Conflict", "?")], body, "bad-header", "a conflict policy"),
    ];
    let count = cases.len();
    for (rest, headers, body, code, reason) in cases {
        check(&mut raw, "unread", (rest, headers, body), code, reason).await;
    }
    let kept = rejected::all(&highwater).await;
    assert_eq!(kept.len(), count, "each is kept, once: {kept:#?}");
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_comes_at_the_wrong_time_says_so() -> Result<()> {
    let (highwater, worker, mut raw) = shop("untimely").await;
    raw.subscribe("hw.untimely.closed.0.done").await?;
    let open = raw.inbox().await?;
    raw.store("hw.untimely.do.start.shop.double.done", &[], b"{\"amount\": 5}").await?;
    raw.next_on("hw.untimely.closed.0.done").await?;
    raw.store("hw.untimely.do.start.shop.account.open", &[("Hw-Reply", &open)], b"").await?;
    raw.next_on(&open).await?;
    let other_run: Headers<'_> = &[("Hw-Run", "01890000000070008000000000000000")];
    let cases: [(&str, Headers<'_>, &str, &str); 10] = [
        ("start.shop.account.open", &[], "already-running", "is running as run"),
        ("start.shop.double.done", &[], "already-used", "is completed"),
        ("signal.shop.deposit.done", &[], "closed", "is completed"),
        ("cancel.shop.-.done", &[], "closed", "is completed"),
        ("terminate.shop.-.done", &[], "closed", "is completed"),
        ("signal.shop.deposit.nobody", &[], "not-found", "there is no workflow with id nobody"),
        ("cancel.shop.-.nobody", &[], "not-found", "there is no workflow with id nobody"),
        ("terminate.shop.-.nobody", &[], "not-found", "there is no workflow with id nobody"),
        ("signal.shop.deposit.open", other_run, "closed", "run 0189"),
        ("start.shop.double.fresh", &[("Hw-Expect", "7")], "conflict", "look again"),
    ];
    let count = cases.len();
    for (rest, headers, code, reason) in cases {
        check(&mut raw, "untimely", (rest, headers, b"{\"amount\": 5}"), code, reason).await;
    }
    let kept = rejected::all(&highwater).await;
    assert_eq!(kept.len(), count, "each is kept, once: {kept:#?}");
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_request_is_kept_whole_with_the_reason() -> Result<()> {
    let (highwater, worker, mut raw) = shop("kept").await;
    raw.subscribe("hw.kept.rejected.>").await?;
    let headers = [("My-Header", "mine"), ("Nats-Msg-Id", "nobody:1")];
    raw.store("hw.kept.do.signal.shop.deposit.nobody", &headers, b"{\"amount\": 5}").await?;
    let kept = rejected::of(&highwater, "nobody").await;
    assert_eq!((kept.code.as_str(), kept.message.payload.as_ref()), ("not-found", b"{\"amount\": 5}".as_slice()));
    assert_eq!(kept.message.headers.get("My-Header"), Some("mine"));
    assert!(kept.subject.ends_with("shop.signal.deposit.nobody"), "{}", kept.subject);
    // Whoever watches hears of it as it happens.
    let heard = raw.next_on(&kept.message.subject).await?;
    assert_eq!((heard.header("Hw-Code"), heard.text()), ("not-found", "{\"amount\": 5}"));
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_subject_that_is_no_inbox_is_refused() -> Result<()> {
    let (highwater, worker, mut raw) = shop("forged").await;
    for (id, reply) in [("a", "hw.forged.h.0.x"), ("b", "$JS.API.STREAM.PURGE.HW_forged_HISTORY_0"), ("c", "_INBOX.>")]
    {
        let subject = format!("hw.forged.do.start.shop.double.{id}");
        raw.store(&subject, &[("Hw-Reply", reply)], b"{\"amount\": 5}").await?;
        let kept = rejected::of(&highwater, id).await;
        assert_eq!(kept.code, "bad-header");
        assert!(kept.reason.contains("must be an inbox subject (_INBOX…)"), "{}", kept.reason);
    }
    let body = b"{\"last_by_subj\": \"hw.forged.h.0.x\"}";
    let found = raw.request("$JS.API.STREAM.MSG.GET.HW_forged_HISTORY_0", &[], body).await?;
    assert_eq!(found.json()["error"]["code"], 404, "nothing was written: {}", found.text());
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_in_subject_or_headers_wedge_nothing() -> Result<()> {
    let (highwater, worker, mut raw) = shop("bytes").await;
    let publish = |subject: &[u8], headers: &[u8]| {
        let total = headers.len() + 2;
        [b"HPUB hw.bytes.do.", subject, format!(" {} {total}\r\n", headers.len()).as_bytes(), headers, b"{}\r\n"]
            .concat()
    };
    let plain = b"NATS/1.0\r\n\r\n";
    raw.send(&publish(b"start.shop.double.\xff\xfe", plain)).await?;
    raw.send(&publish(b"\xff", plain)).await?;
    raw.send(&publish(b"start.shop.double.h", b"NATS/1.0\r\nHw-Reply: \xff\xfe\r\n\r\n")).await?;
    raw.send(&publish(b"start.shop.double.n", b"NATS/1.0\r\nno colon\r\n\r\n")).await?;
    raw.flush().await?;
    still_works(&highwater).await;
    let count = until("all four are dealt with", async || rejected::all(&highwater).await.len(), |n| *n >= 3).await;
    assert!(count <= 4, "{count}");
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn subjects_that_no_client_library_would_send_wedge_nothing() -> Result<()> {
    let (highwater, worker, _) = shop("odd").await;
    let deep = format!("start.shop.double.{}", vec!["x"; 1_000].join("."));
    let long = format!("start.shop.double.{}", "x".repeat(3_000));
    // The server refuses empty tokens, and complains of wildcards but stores them.
    for rest in ["start..double.k", "start.shop.double.", "start.shop.double.*", "*.*.*.*", ">", &deep, &long] {
        let mut raw = RawNats::connect(SERVER.port()).await?;
        raw.publish(&format!("hw.odd.do.{rest}"), "", &[], b"{\"amount\": 5}").await?;
        let _ = raw.flush().await;
    }
    let kept = until("five are rejected", async || rejected::all(&highwater).await, |kept| kept.len() == 5).await;
    assert!(kept.iter().all(|kept| kept.code == "bad-subject"), "{kept:#?}");
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_fits_the_server_but_no_record_is_refused() -> Result<()> {
    let (highwater, worker, mut raw) = shop("large").await;
    let body = format!("\"{}\"", "x".repeat(1024 * 1024 - 400));
    let request = ("start.shop.double.k", &[] as &[_], body.as_bytes());
    check(&mut raw, "large", request, "too-large", "pass a reference to the data instead").await;
    assert_eq!(rejected::of(&highwater, "k").await.code, "too-large");
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_history_that_cannot_be_read_is_refused() -> Result<()> {
    let (highwater, worker, mut raw) = shop("damaged").await;
    raw.store("hw.damaged.h.0.k", &[], b"no record of ours").await?;
    let request = ("signal.shop.deposit.k", &[] as &[_], b"{\"amount\": 5}".as_slice());
    check(&mut raw, "damaged", request, "unreadable", "").await;
    still_works(&highwater).await;
    worker.stop().await;
    Ok(())
}
