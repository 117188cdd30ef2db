//! A Rust node that shares a topic: shows every message, and publishes each line that is typed.
//!
//!     cargo run --release -- TOPIC [RELAY]
use std::env::args;

use anyhow::{Context, Result, anyhow};
use futures_util::StreamExt;
use p2panda::streams::StreamEvent;
use p2panda_core::Topic;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<()> {
    let topic = args().nth(1).context("usage: rust-node TOPIC [RELAY]")?;
    let topic: Topic = topic.parse().map_err(|error| anyhow!("{error:?}"))?;
    // A fixed port, so that the other side can be told where to find us.
    let mut builder = p2panda::Node::builder().bind_port_v4(4004);
    if let Some(relay) = args().nth(2) {
        builder = builder.relay_url(relay.parse()?);
    }
    let node = builder.spawn().await?;
    println!("node id {}", node.id().to_hex());

    let (publisher, mut events) = node.stream::<String>(topic).await?;
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let StreamEvent::Processed { operation, .. } = event {
                println!("> {}", operation.message());
            }
        }
    });

    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        publisher.publish(line).await?;
    }
    Ok(())
}
