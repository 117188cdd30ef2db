//! Reference peer: a real p2panda 0.7.1 node under line control (JSON in, JSON out), and its baseline figures.
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use futures_util::StreamExt;
use iroh_base::EndpointAddr;
use p2panda_core::{Body, Extensions, Hash, Header, LogId as AnyLogId, Operation, SeqNum, SigningKey, Topic, VerifyingKey};
use p2panda_net::addrs::NodeInfo;
use p2panda_net::iroh_endpoint::IrohConfig;
use p2panda_net::iroh_mdns::MdnsDiscoveryMode;
use p2panda_net::utils::from_verifying_key;
use p2panda_net::{AddressBook, Discovery, Endpoint, Gossip, LogSync, MdnsDiscovery};
use p2panda_store::logs::LogStore;
use p2panda_store::operations::OperationStore;
use p2panda_store::sqlite::SqliteStoreBuilder;
use p2panda_store::topics::TopicStore;
use p2panda_store::{SqliteStore, Transaction};
use p2panda_sync::protocols::TopicLogSyncEvent as SyncEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

type LogId = u64;
/// The log id of the upstream chat example, whatever the topic.
const CHAT_LOG_ID: LogId = 1;

fn emit(v: Value) {
    println!("{v}");
}

fn topic_of(s: &str) -> Result<Topic> {
    s.parse().map_err(|e| anyhow!("topic: {e:?}"))
}

fn key_of(hexed: &str) -> Result<SigningKey> {
    let b: [u8; 32] = hex::decode(hexed)?.try_into().map_err(|_| anyhow!("seed must be 32 bytes"))?;
    Ok(SigningKey::from_bytes(&b))
}

#[derive(Deserialize, Default)]
struct Config {
    seed: Option<String>,
    network_id: Option<String>,
    port: Option<u16>,
    #[serde(default = "yes")]
    discovery: bool,
    mdns: Option<String>,
    db: Option<String>,
    relay: Option<String>,
    /// What the relay asks of its users (peer).
    relay_token: Option<String>,
    bind: Option<Ipv4Addr>,
    /// Log id = first eight bytes of the topic (big endian) instead of 1 for every topic.
    #[serde(default)]
    log_per_topic: bool,
    /// For `node`: [node id, relay URL].
    bootstrap: Option<(String, String)>,
}
fn yes() -> bool {
    true
}

struct Net {
    key: SigningKey,
    store: SqliteStore,
    book: AddressBook,
    endpoint: Endpoint,
    _discovery: Option<Discovery>,
    _mdns: Option<MdnsDiscovery>,
    gossip: Gossip,
    sync: LogSync<SqliteStore, LogId, ()>,
    log_per_topic: bool,
}

impl Net {
    async fn spawn(cfg: &Config, bootstrap: &[EndpointAddr]) -> Result<Self> {
        let key = match &cfg.seed {
            Some(s) => key_of(s)?,
            None => SigningKey::generate(),
        };
        let store = match &cfg.db {
            Some(url) => SqliteStoreBuilder::new().database_url(url).build().await?,
            None => SqliteStoreBuilder::memory().build().await?,
        };
        let book = AddressBook::builder().spawn().await?;
        for addr in bootstrap {
            book.insert_node_info(NodeInfo::from(addr.clone()).bootstrap()).await?;
        }
        let mut b = Endpoint::builder(book.clone()).signing_key(key.clone()).config(IrohConfig {
            bind_ip_v4: cfg.bind.unwrap_or(Ipv4Addr::LOCALHOST),
            bind_port_v4: cfg.port.unwrap_or(0),
            bind_ip_v6: Ipv6Addr::LOCALHOST,
            bind_port_v6: 0,
        });
        if let Some(id) = &cfg.network_id {
            b = b.network_id(hex::decode(id)?.try_into().map_err(|_| anyhow!("network id"))?);
        }
        match (&cfg.relay, &cfg.relay_token) {
            (Some(url), Some(token)) => b = b.relay_url_with_token(url.parse()?, token),
            (Some(url), None) => b = b.relay_url(url.parse()?),
            _ => {}
        }
        let endpoint = b.spawn().await?;
        let _discovery = match cfg.discovery {
            true => Some(Discovery::builder(book.clone(), endpoint.clone()).spawn().await?),
            false => None,
        };
        let mode = match cfg.mdns.as_deref() {
            Some("active") => Some(MdnsDiscoveryMode::Active),
            Some("passive") => Some(MdnsDiscoveryMode::Passive),
            _ => None,
        };
        let _mdns = match mode {
            Some(m) => Some(MdnsDiscovery::builder(book.clone(), endpoint.clone()).mode(m).spawn().await?),
            None => None,
        };
        let gossip = Gossip::builder(book.clone(), endpoint.clone()).spawn().await?;
        let sync = LogSync::builder(store.clone(), endpoint.clone(), gossip.clone()).spawn().await?;
        Ok(Self { key, store, book, endpoint, _discovery, _mdns, gossip, sync, log_per_topic: cfg.log_per_topic })
    }

    async fn addr(&self) -> Result<EndpointAddr> {
        let ep = self.endpoint.endpoint().await?;
        let mut addr = EndpointAddr::new(from_verifying_key(self.key.verifying_key()));
        for s in ep.bound_sockets() {
            addr = addr.with_ip_addr(s);
        }
        Ok(addr)
    }

    fn log_id(&self, topic: &Topic) -> LogId {
        match self.log_per_topic {
            true => LogId::from_be_bytes(topic.as_bytes()[..8].try_into().expect("eight bytes")),
            false => CHAT_LOG_ID,
        }
    }

    /// Where our own log of the topic ends, read from the store (so that a restart goes on there).
    async fn own_log(&self, topic: &Topic) -> Result<LogState> {
        let latest: Option<Operation> = LogStore::<Operation, VerifyingKey, LogId, SeqNum, Hash>::get_latest_entry(
            &self.store, &self.key.verifying_key(), &self.log_id(topic)).await?;
        Ok(match latest {
            Some(op) => LogState { seq: op.header.seq_num + 1, backlink: Some(op.hash) },
            None => LogState::default(),
        })
    }

    async fn associate(&self, topic: &Topic, author: &VerifyingKey) -> Result<()> {
        let permit = self.store.begin().await?;
        self.store.associate(topic, author, &self.log_id(topic)).await?;
        self.store.commit(permit).await?;
        Ok(())
    }

    async fn insert(&self, topic: &Topic, operation: &Operation) -> Result<()> {
        let permit = self.store.begin().await?;
        self.store.insert_operation(&operation.hash, operation, &self.log_id(topic)).await?;
        self.store.associate(topic, &operation.header.verifying_key, &self.log_id(topic)).await?;
        self.store.commit(permit).await?;
        Ok(())
    }
}

#[derive(Default)]
struct LogState {
    seq: u32,
    backlink: Option<Hash>,
}

impl LogState {
    fn next(&mut self, key: &SigningKey, body: &[u8]) -> Operation {
        let body = Body::from_bytes(body);
        let header = Header::builder().seq_num(self.seq).backlink(self.backlink).body(&body).build(key, ());
        let op = Operation::from_parts(header, Some(body));
        self.seq += 1;
        self.backlink = Some(op.hash);
        op
    }
}

#[derive(Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
enum Cmd {
    AddNode { node_id: String, addrs: Vec<String>, #[serde(default)] bootstrap: bool },
    NodeInfo { node_id: String },
    Create { topic: String, count: u64, size: usize },
    Sync { topic: String, live: Option<bool> },
    CloseSync { topic: String },
    Publish { topic: String, text: String },
    Flood { topic: String, count: u64, size: usize },
    Gossip { topic: String },
    GossipPublish { topic: String, data: String },
    Dump { topic: String },
    Count { topic: String },
    Online,
    Rss,
    Quit,
}

/// Every stored operation of a topic, one line each.
async fn dump<L, E>(store: &SqliteStore, topic: &Topic) -> Result<()>
where
    L: AnyLogId + serde::Serialize + for<'de> Deserialize<'de>,
    E: Extensions,
{
    let mut total = 0;
    for (author, ids) in TopicStore::<Topic, VerifyingKey, L>::resolve(store, topic).await? {
        for id in ids {
            let entries = LogStore::<Operation<E>, VerifyingKey, L, SeqNum, Hash>::get_log_entries(store, &author, &id, None, None).await?;
            for (op, header) in entries.unwrap_or_default() {
                total += 1;
                emit(json!({"event": "stored", "author": author.to_hex(), "log_id": id, "seq": op.header.seq_num, "hash": op.hash.to_hex(),
                    "header": hex::encode(header), "body": op.body.as_ref().map(|b| hex::encode(b.as_bytes()))}));
            }
        }
    }
    emit(json!({"event": "dumped", "count": total}));
    Ok(())
}

/// How many operations of a topic are stored, of each author.
async fn count<L, E>(store: &SqliteStore, topic: &Topic) -> Result<()>
where
    L: AnyLogId + serde::Serialize + for<'de> Deserialize<'de>,
    E: Extensions,
{
    let mut authors = HashMap::new();
    for (author, ids) in TopicStore::<Topic, VerifyingKey, L>::resolve(store, topic).await? {
        for id in ids {
            // An empty log has no sums, which upstream takes for an error.
            let size = LogStore::<Operation<E>, VerifyingKey, L, SeqNum, Hash>::get_log_size(store, &author, &id, None, None).await;
            *authors.entry(author.to_hex()).or_insert(0) += size.ok().flatten().map_or(0, |(operations, _)| operations);
        }
    }
    emit(json!({"event": "counted", "count": authors.values().sum::<u32>(), "authors": authors}));
    Ok(())
}

async fn peer(quiet: bool) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let first = lines.next_line().await?.context("config line expected")?;
    let cfg: Config = serde_json::from_str(&first)?;
    let net = Arc::new(Net::spawn(&cfg, &[]).await?);
    let ep = net.endpoint.endpoint().await?;
    if let Some(d) = &net._discovery {
        let mut rx = d.events().await?;
        tokio::spawn(async move {
            while let Ok(e) = rx.recv().await {
                emit(json!({"event": "discovery", "debug": format!("{e:?}")}));
            }
        });
    }
    let mut gev = net.gossip.events().await?;
    tokio::spawn(async move {
        while let Ok(e) = gev.recv().await {
            emit(json!({"event": "gossip_overlay", "debug": format!("{e:?}")}));
        }
    });
    emit(json!({"event": "ready", "node_id": net.key.verifying_key().to_hex(),
        "network_id": hex::encode(net.endpoint.network_id()),
        "addrs": ep.bound_sockets().iter().map(|s| s.to_string()).collect::<Vec<_>>()}));

    let mut logs: HashMap<Topic, LogState> = HashMap::new();
    let mut syncs = HashMap::new();
    let mut gossips = HashMap::new();
    let received = Arc::new(AtomicU64::new(0));
    while let Some(line) = lines.next_line().await? {
        let cmd: Cmd = match serde_json::from_str(&line) {
            Ok(c) => c,
            Err(e) => {
                emit(json!({"event": "error", "error": e.to_string()}));
                continue;
            }
        };
        match cmd {
            Cmd::AddNode { node_id, addrs, bootstrap } => {
                let id: VerifyingKey = node_id.parse().map_err(|e| anyhow!("{e:?}"))?;
                let mut a = EndpointAddr::new(from_verifying_key(id));
                for s in addrs {
                    a = a.with_ip_addr(s.parse::<SocketAddr>()?);
                }
                let info = NodeInfo::from(a);
                let info = if bootstrap { info.bootstrap() } else { info };
                net.book.insert_node_info(info).await?;
                emit(json!({"event": "ok", "cmd": "add_node"}));
            }
            Cmd::NodeInfo { node_id } => {
                let id: VerifyingKey = node_id.parse().map_err(|e| anyhow!("{e:?}"))?;
                let info = net.book.node_info(id).await?;
                emit(json!({"event": "node_info", "info": format!("{info:?}")}));
            }
            Cmd::Create { topic, count, size } => {
                let t = topic_of(&topic)?;
                net.associate(&t, &net.key.verifying_key()).await?;
                if !logs.contains_key(&t) { logs.insert(t, net.own_log(&t).await?); }
                let log = logs.entry(t).or_default();
                let body = vec![b'x'; size];
                let permit = net.store.begin().await?;
                let mut last = None;
                for _ in 0..count {
                    let op = log.next(&net.key, &body);
                    net.store.insert_operation(&op.hash, &op, &net.log_id(&t)).await?;
                    last = Some(op.hash);
                }
                net.store.commit(permit).await?;
                emit(json!({"event": "created", "count": count, "seq": log.seq, "last": last.map(|h| h.to_hex())}));
            }
            Cmd::Sync { topic, live } => {
                let t = topic_of(&topic)?;
                net.associate(&t, &net.key.verifying_key()).await?;
                let handle = net.sync.stream(t, live.unwrap_or(true)).await?;
                let mut rx = handle.subscribe().await?;
                let net2 = net.clone();
                let received = received.clone();
                tokio::spawn(async move {
                    let mut count = 0u64;
                    let mut started = Instant::now();
                    while let Some(item) = rx.next().await {
                        let item = match item {
                            Ok(i) => i,
                            Err(e) => {
                                emit(json!({"event": "sync_lagged", "error": format!("{e:?}")}));
                                continue;
                            }
                        };
                        let remote = item.remote.to_hex();
                        match item.event {
                            SyncEvent::OperationReceived { operation, .. } => {
                                received.fetch_add(1, Ordering::Relaxed);
                                count += 1;
                                let known = <SqliteStore as OperationStore<Operation, Hash>>::has_operation(&net2.store, &operation.hash).await.unwrap_or(false);
                                if !known {
                                    if let Err(e) = net2.insert(&t, &operation).await {
                                        emit(json!({"event": "insert_failed", "error": e.to_string()}));
                                    }
                                }
                                if !quiet {
                                    emit(json!({"event": "operation", "remote": remote, "hash": operation.hash.to_hex(),
                                        "author": operation.header.verifying_key.to_hex(), "seq": operation.header.seq_num,
                                        "known": known,
                                        "body": operation.body.as_ref().map(|b| String::from_utf8_lossy(b.as_bytes()).to_string())}));
                                }
                            }
                            SyncEvent::SyncStarted { metrics } => {
                                started = Instant::now();
                                count = 0;
                                emit(json!({"event": "sync_started", "remote": remote, "metrics": format!("{metrics:?}")}));
                            }
                            SyncEvent::SyncFinished { metrics } => emit(json!({"event": "sync_finished", "remote": remote, "received": count,
                                "seconds": started.elapsed().as_secs_f64(), "metrics": format!("{metrics:?}")})),
                            other => emit(json!({"event": "sync", "remote": remote, "debug": format!("{other:?}")})),
                        }
                    }
                });
                syncs.insert(t, handle);
                emit(json!({"event": "ok", "cmd": "sync"}));
            }
            Cmd::CloseSync { topic } => {
                syncs.remove(&topic_of(&topic)?);
                emit(json!({"event": "ok", "cmd": "close_sync"}));
            }
            Cmd::Publish { topic, text } => {
                let t = topic_of(&topic)?;
                if !logs.contains_key(&t) { logs.insert(t, net.own_log(&t).await?); }
                let op = logs.entry(t).or_default().next(&net.key, text.as_bytes());
                net.insert(&t, &op).await?;
                let hash = op.hash;
                syncs.get(&t).context("no sync stream")?.publish(op)?;
                emit(json!({"event": "published", "hash": hash.to_hex()}));
            }
            Cmd::Flood { topic, count, size } => {
                let t = topic_of(&topic)?;
                if !logs.contains_key(&t) { logs.insert(t, net.own_log(&t).await?); }
                let body = vec![b'y'; size];
                let began = Instant::now();
                for _ in 0..count {
                    let op = logs.entry(t).or_default().next(&net.key, &body);
                    net.insert(&t, &op).await?;
                    syncs.get(&t).context("no sync stream")?.publish(op)?;
                }
                emit(json!({"event": "flooded", "count": count, "seconds": began.elapsed().as_secs_f64()}));
            }
            Cmd::Gossip { topic } => {
                let t = topic_of(&topic)?;
                let handle = net.gossip.stream(t).await?;
                let mut rx = handle.subscribe();
                tokio::spawn(async move {
                    while let Some(item) = rx.next().await {
                        match item {
                            Ok(b) => emit(json!({"event": "gossip", "data": hex::encode(b)})),
                            Err(e) => emit(json!({"event": "gossip_lagged", "error": format!("{e:?}")})),
                        }
                    }
                });
                gossips.insert(t, handle);
                emit(json!({"event": "ok", "cmd": "gossip"}));
            }
            Cmd::GossipPublish { topic, data } => {
                let t = topic_of(&topic)?;
                let r = gossips.get(&t).context("no gossip stream")?.publish(hex::decode(data)?).await;
                emit(json!({"event": "gossip_published", "error": r.err().map(|e| e.to_string())}));
            }
            Cmd::Dump { topic } => dump::<LogId, ()>(&net.store, &topic_of(&topic)?).await?,
            Cmd::Count { topic } => count::<LogId, ()>(&net.store, &topic_of(&topic)?).await?,
            Cmd::Online => {
                tokio::time::timeout(Duration::from_secs(20), ep.online()).await.ok();
                emit(json!({"event": "online", "relays": ep.addr().relay_urls().map(|url| url.to_string()).collect::<Vec<_>>()}));
            }
            Cmd::Rss => emit(json!({"event": "rss", "kib": rss()})),
            Cmd::Quit => break,
        }
    }
    ep.close().await;
    Ok(())
}

fn rss() -> u64 {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default().lines()
        .find(|l| l.starts_with("VmRSS")).and_then(|l| l.split_whitespace().nth(1)).and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Catch-up of `n` operations of `size` bytes between two nodes of one process, and live publishing after it.
async fn bench_sync(n: u64, size: usize, live: u64) -> Result<()> {
    let a = Net::spawn(&Config { discovery: true, ..Default::default() }, &[]).await?;
    let topic = Topic::random();
    a.associate(&topic, &a.key.verifying_key()).await?;
    let mut log = LogState::default();
    let body = vec![b'x'; size];
    let t = Instant::now();
    let permit = a.store.begin().await?;
    for _ in 0..n {
        let op = log.next(&a.key, &body);
        a.store.insert_operation(&op.hash, &op, &CHAT_LOG_ID).await?;
    }
    a.store.commit(permit).await?;
    let created = t.elapsed().as_secs_f64();
    let sa = a.sync.stream(topic, true).await?;
    let addr = a.addr().await?;
    let t_all = Instant::now();
    let b = Net::spawn(&Config { discovery: true, ..Default::default() }, &[addr]).await?;
    let sb = b.sync.stream(topic, true).await?;
    let mut rx = sb.subscribe().await?;
    let mut started = None;
    let mut got = 0u64;
    let mut stored_at = 0.0;
    let mut finished = 0.0;
    let mut lagged = 0u64;
    let store_it = std::env::var("NO_INSERT").is_err();
    let mut missed = 0u64;
    let mut seen_first = None;
    while let Ok(Some(item)) = tokio::time::timeout(Duration::from_secs(20), rx.next()).await {
        let item = match item {
            Ok(i) => i,
            Err(tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged(k)) => { lagged += 1; missed += k; continue }
        };
        match item.event {
            SyncEvent::SyncStarted { .. } => { started = Some(Instant::now()); }
            SyncEvent::OperationReceived { operation, .. } => {
                seen_first.get_or_insert_with(Instant::now);
                if started.is_none() { started = seen_first; }
                if store_it { b.insert(&topic, &operation).await?; }
                got += 1;
                if got == n { stored_at = started.map(|s| s.elapsed().as_secs_f64()).unwrap_or(0.0); }
            }
            SyncEvent::SyncFinished { .. } => { finished = started.map(|s| s.elapsed().as_secs_f64()).unwrap_or(0.0); break; }
            other => { if std::env::var("VERBOSE").is_ok() { emit(json!({"debug": format!("{other:?}")})); } }
        }
    }
    let total = t_all.elapsed().as_secs_f64();
    emit(json!({"bench": "catch-up", "n": n, "size": size, "created_per_s": n as f64 / created, "received": got, "lagged_errors": lagged, "events_missed": missed,
        "seconds_to_stored": stored_at, "seconds_to_sync_finished": finished, "ops_per_s": got as f64 / stored_at.max(finished), "cold_start_to_done_s": total, "rss_kib": rss()}));
    if live > 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let t = Instant::now();
        let sender = async {
            for _ in 0..live {
                let op = log.next(&a.key, &body);
                a.insert(&topic, &op).await?;
                sa.publish(op)?;
            }
            Ok::<_, anyhow::Error>(t.elapsed().as_secs_f64())
        };
        let receiver = async {
            let mut got = 0;
            let mut lost = 0u64;
            while got < live {
                match tokio::time::timeout(Duration::from_secs(10), rx.next()).await {
                    Ok(Some(Ok(item))) => if let SyncEvent::OperationReceived { operation, .. } = item.event {
                        b.insert(&topic, &operation).await.ok();
                        got += 1;
                    },
                    Ok(Some(Err(_))) => lost += 1,
                    _ => break,
                }
            }
            (got, lost, t.elapsed().as_secs_f64())
        };
        let (s, (g, lost, r)) = tokio::join!(sender, receiver);
        let s = s?;
        emit(json!({"bench": "live", "published": live, "publish_per_s": live as f64 / s, "received": g, "lagged_errors": lost, "receive_per_s": g as f64 / r, "seconds": r}));
    }
    Ok(())
}

async fn bench_gossip(n: u64, size: usize) -> Result<()> {
    let a = Net::spawn(&Config { discovery: true, ..Default::default() }, &[]).await?;
    let topic = Topic::random();
    let ga = a.gossip.stream(topic).await?;
    let mut ra = ga.subscribe();
    let b = Net::spawn(&Config { discovery: true, ..Default::default() }, &[a.addr().await?]).await?;
    let t = Instant::now();
    let gb = b.gossip.stream(topic).await?;
    let mut rb = gb.subscribe();
    // first contact
    let mut join = 0.0;
    for i in 0..200u64 {
        ga.publish(i.to_be_bytes().to_vec()).await?;
        if tokio::time::timeout(Duration::from_millis(100), rb.next()).await.is_ok() { join = t.elapsed().as_secs_f64(); break; }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    while tokio::time::timeout(Duration::from_millis(50), rb.next()).await.is_ok() {}
    // ping-pong
    let mut rtts = vec![];
    for i in 0..500u64 {
        let s = Instant::now();
        ga.publish([b"ping".as_slice(), &i.to_be_bytes()].concat()).await?;
        if tokio::time::timeout(Duration::from_secs(2), rb.next()).await.is_err() { continue; }
        gb.publish([b"pong".as_slice(), &i.to_be_bytes()].concat()).await?;
        if tokio::time::timeout(Duration::from_secs(2), ra.next()).await.is_err() { continue; }
        rtts.push(s.elapsed().as_secs_f64() * 1e3);
    }
    rtts.sort_by(|x, y| x.total_cmp(y));
    // burst
    let t = Instant::now();
    let send = async {
        for i in 0..n {
            let mut m = vec![0u8; size];
            m[..8].copy_from_slice(&(i + 1_000_000).to_be_bytes());
            if ga.publish(m).await.is_err() { break; }
        }
        t.elapsed().as_secs_f64()
    };
    let recv = async {
        let mut got = 0u64;
        let mut lag = 0u64;
        let mut last = 0.0;
        while got < n {
            match tokio::time::timeout(Duration::from_secs(5), rb.next()).await {
                Ok(Some(Ok(_))) => { got += 1; last = t.elapsed().as_secs_f64(); }
                Ok(Some(Err(_))) => lag += 1,
                _ => break,
            }
        }
        (got, lag, last)
    };
    let (s, (got, lag, last)) = tokio::join!(send, recv);
    emit(json!({"bench": "gossip", "join_s": join, "rtt_ms_p50": rtts.get(rtts.len()/2), "rtt_ms_p99": rtts.get(rtts.len()*99/100),
        "sent": n, "publish_per_s": n as f64 / s, "received": got, "lagged_errors": lag, "receive_per_s": got as f64 / last, "rss_kib": rss()}));
    Ok(())
}

async fn bench_memory(nodes: usize) -> Result<()> {
    let base = rss();
    let mut v = vec![];
    let t = Instant::now();
    for _ in 0..nodes { v.push(Net::spawn(&Config { discovery: true, ..Default::default() }, &[]).await?); }
    emit(json!({"bench": "memory", "nodes": nodes, "base_kib": base, "per_node_kib": (rss() - base) / nodes as u64, "spawn_s_each": t.elapsed().as_secs_f64() / nodes as f64}));
    Ok(())
}

/// The high-level p2panda Node under the same line control.
async fn node() -> Result<()> {
    #[derive(Deserialize)]
    #[serde(tag = "cmd", rename_all = "snake_case")]
    enum NodeCmd {
        Stream { topic: String },
        Publish { topic: String, text: String },
        Flood { topic: String, count: u64, size: usize },
        Ephemeral { topic: String },
        EphemeralPublish { topic: String, text: String },
        Dump { topic: String },
        Count { topic: String },
        Rss,
        Quit,
    }
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let cfg: Config = serde_json::from_str(&lines.next_line().await?.context("config")?)?;
    let mut b = p2panda::Node::builder().bind_ip_v4(cfg.bind.unwrap_or(Ipv4Addr::LOCALHOST)).bind_ip_v6(Ipv6Addr::LOCALHOST)
        .bind_port_v4(cfg.port.unwrap_or(0));
    b = b.mdns_mode(match cfg.mdns.as_deref() {
        Some("active") => p2panda::network::MdnsDiscoveryMode::Active,
        Some("passive") => p2panda::network::MdnsDiscoveryMode::Passive,
        _ => p2panda::network::MdnsDiscoveryMode::Disabled,
    });
    if let Some(url) = &cfg.relay { b = b.relay_url(url.parse()?); }
    if let Some((id, url)) = &cfg.bootstrap { b = b.bootstrap(id.parse().map_err(|e| anyhow!("{e:?}"))?, url.parse()?); }
    if let Some(s) = &cfg.seed { b = b.signing_key(key_of(s)?); }
    if let Some(s) = &cfg.db { b = b.database_url(s); }
    if let Some(id) = &cfg.network_id { b = b.network_id(hex::decode(id)?.try_into().map_err(|_| anyhow!("network id"))?); }
    let node = b.spawn().await?;
    // The Node keeps its store to itself; a database in a file can be looked into all the same.
    let store = match &cfg.db {
        Some(url) => Some(SqliteStoreBuilder::new().database_url(url).build().await?),
        None => None,
    };
    let mut ev = node.event_stream().await?;
    tokio::spawn(async move {
        while let Some(e) = ev.next().await { emit(json!({"event": "system", "debug": format!("{e:?}")})); }
    });
    emit(json!({"event": "ready", "node_id": node.id().to_hex(), "network_id": hex::encode(node.network_id()), "port": cfg.port}));
    let mut streams = HashMap::new();
    let mut ephs = HashMap::new();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str::<NodeCmd>(&line)? {
            NodeCmd::Stream { topic } => {
                let t = topic_of(&topic)?;
                let (tx, mut rx) = node.stream::<String>(t).await?;
                tokio::spawn(async move {
                    while let Some(e) = rx.next().await {
                        match &e {
                            p2panda::streams::StreamEvent::Processed { operation, .. } => emit(json!({"event": "processed", "message": operation.message(), "debug": format!("{e:?}")})),
                            _ => emit(json!({"event": "stream", "debug": format!("{e:?}")})),
                        }
                    }
                });
                streams.insert(t, tx);
                emit(json!({"event": "ok", "cmd": "stream"}));
            }
            NodeCmd::Publish { topic, text } => {
                let f = streams.get(&topic_of(&topic)?).context("no stream")?.publish(text).await?;
                emit(json!({"event": "published", "hash": f.hash().to_hex()}));
            }
            NodeCmd::Flood { topic, count, size } => {
                let began = Instant::now();
                let text = "y".repeat(size);
                for _ in 0..count {
                    streams.get(&topic_of(&topic)?).context("no stream")?.publish(text.clone()).await?;
                }
                emit(json!({"event": "flooded", "count": count, "seconds": began.elapsed().as_secs_f64()}));
            }
            NodeCmd::Ephemeral { topic } => {
                let t = topic_of(&topic)?;
                let (tx, mut rx) = node.ephemeral_stream::<String>(t).await?;
                tokio::spawn(async move {
                    while let Some(e) = rx.next().await { emit(json!({"event": "ephemeral", "debug": format!("{e:?}")})); }
                });
                ephs.insert(t, tx);
                emit(json!({"event": "ok", "cmd": "ephemeral"}));
            }
            NodeCmd::EphemeralPublish { topic, text } => {
                ephs.get(&topic_of(&topic)?).context("no stream")?.publish(text).await?;
                emit(json!({"event": "ephemeral_published"}));
            }
            NodeCmd::Dump { topic } => {
                dump::<p2panda::operation::LogId, p2panda::operation::Extensions>(store.as_ref().context("no db")?, &topic_of(&topic)?).await?
            }
            NodeCmd::Count { topic } => {
                count::<p2panda::operation::LogId, p2panda::operation::Extensions>(store.as_ref().context("no db")?, &topic_of(&topic)?).await?
            }
            NodeCmd::Rss => emit(json!({"event": "rss", "kib": rss()})),
            NodeCmd::Quit => break,
        }
    }
    Ok(())
}

/// The high-level Node, all of its pipeline: publish `n`, then a second node catches up; then live.
async fn bench_node(n: u64, size: usize, live: u64) -> Result<()> {
    let dir = std::env::temp_dir().join(format!("refnode-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let url = |s: &str| format!("sqlite://{}?mode=rwc", dir.join(s).display());
    let port = 20_000 + (std::process::id() % 20_000) as u16;
    let key_a = SigningKey::generate();
    let spawn = |key: SigningKey, url: String, port: u16| {
        p2panda::Node::builder().signing_key(key).database_url(&url).bind_ip_v4(Ipv4Addr::LOCALHOST).bind_ip_v6(Ipv6Addr::LOCALHOST)
            .bind_port_v4(port).mdns_mode(p2panda::network::MdnsDiscoveryMode::Disabled).spawn()
    };
    let topic = Topic::random();
    let a = spawn(key_a.clone(), url("a.db"), port).await?;
    let (ta, mut ra) = a.stream::<String>(topic).await?;
    tokio::spawn(async move { while ra.next().await.is_some() {} });
    let text = "x".repeat(size);
    let t = Instant::now();
    for _ in 0..n { ta.publish(text.clone()).await?; }
    let publish = n as f64 / t.elapsed().as_secs_f64();
    {
        let store = SqliteStoreBuilder::new().database_url(&url("b.db")).build().await?;
        let book = AddressBook::builder().store(store).spawn().await?;
        let addr = EndpointAddr::new(from_verifying_key(key_a.verifying_key())).with_ip_addr((Ipv4Addr::LOCALHOST, port).into());
        book.insert_node_info(NodeInfo::from(addr).bootstrap()).await?;
    }
    let t = Instant::now();
    let b = spawn(SigningKey::generate(), url("b.db"), port + 1).await?;
    let (_tb, mut rb) = b.stream::<String>(topic).await?;
    let mut got = 0u64;
    let mut first = None;
    let mut last = 0.0;
    while got < n {
        match tokio::time::timeout(Duration::from_secs(20), rb.next()).await {
            Ok(Some(p2panda::streams::StreamEvent::Processed { .. })) => { let f = *first.get_or_insert_with(Instant::now); got += 1; last = f.elapsed().as_secs_f64(); }
            Ok(Some(other)) => if std::env::var("VERBOSE").is_ok() { emit(json!({"debug": format!("{other:?}")})) },
            _ => break,
        }
    }
    emit(json!({"bench": "node catch-up", "n": n, "size": size, "publish_per_s": publish, "received": got, "ops_per_s_from_first": got as f64 / last,
        "cold_start_s": t.elapsed().as_secs_f64(), "rss_kib": rss()}));
    if got == n && live > 0 {
        let t = Instant::now();
        let send = async { for _ in 0..live { ta.publish(text.clone()).await.ok(); } t.elapsed().as_secs_f64() };
        let recv = async {
            let mut g = 0;
            while g < live {
                match tokio::time::timeout(Duration::from_secs(10), rb.next()).await {
                    Ok(Some(p2panda::streams::StreamEvent::Processed { .. })) => g += 1,
                    Ok(Some(_)) => {}
                    _ => break,
                }
            }
            (g, t.elapsed().as_secs_f64())
        };
        let (s, (g, r)) = tokio::join!(send, recv);
        emit(json!({"bench": "node live", "published": live, "publish_per_s": live as f64 / s, "received": g, "receive_per_s": g as f64 / r}));
        let mut lat = vec![];
        for _ in 0..200 {
            let s = Instant::now();
            ta.publish(text.clone()).await?;
            loop {
                match tokio::time::timeout(Duration::from_secs(2), rb.next()).await {
                    Ok(Some(p2panda::streams::StreamEvent::Processed { .. })) => { lat.push(s.elapsed().as_secs_f64() * 1e3); break }
                    Ok(Some(_)) => {}
                    _ => break,
                }
            }
        }
        lat.sort_by(|x, y| x.total_cmp(y));
        emit(json!({"bench": "node live latency", "publish_to_processed_ms_p50": lat.get(lat.len() / 2), "p99": lat.get(lat.len() * 99 / 100), "samples": lat.len()}));
    }
    std::fs::remove_dir_all(&dir).ok();
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_writer(std::io::stderr).init();
    let args: Vec<String> = std::env::args().collect();
    let num = |i: usize, d: u64| args.get(i).and_then(|s| s.parse().ok()).unwrap_or(d);
    match args.get(1).map(String::as_str) {
        Some("peer") => peer(args.iter().any(|a| a == "--quiet")).await,
        Some("node") => node().await,
        Some("bench-sync") => bench_sync(num(2, 10_000), num(3, 100) as usize, num(4, 1_000)).await,
        Some("bench-node") => bench_node(num(2, 1_000), num(3, 100) as usize, num(4, 500)).await,
        Some("bench-gossip") => bench_gossip(num(2, 2_000), num(3, 100) as usize).await,
        Some("bench-memory") => bench_memory(num(2, 10) as usize).await,
        _ => Err(anyhow!("usage: reference-peer peer [--quiet] | node | bench-sync N SIZE LIVE | bench-node N SIZE LIVE | bench-gossip N SIZE | bench-memory NODES")),
    }
}
