//! What the Rust driver does: `scylla-client PORT work|outpost KEYSPACE none|lz4|snappy` prints one JSON object.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::client::{Compression, PoolSize};
use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::statement::batch::Batch;
use scylla::statement::unprepared::Statement;
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CANARY: &str = "canary7c4";
const INSERT: &str = "INSERT INTO attendance.daily_records (creation, trooper, present) VALUES (now(), ?, ?)";
const SELECT: &str = "SELECT * FROM attendance.daily_records";

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, what, keyspace, compression] = arguments.as_slice() else {
        return Err("four arguments: PORT work|outpost KEYSPACE none|lz4|snappy".into());
    };
    let session = connect(port, compression).await?;
    let told = match what.as_str() {
        "work" => work(&session, port, compression, keyspace).await?,
        "outpost" => outpost(session).await?,
        other => return Err(format!("no such work: {other}").into()),
    };
    println!("{told}");
    Ok(())
}

async fn connect(port: &str, compression: &str) -> Outcome<Session> {
    let compression = match compression {
        "lz4" => Some(Compression::Lz4),
        "snappy" => Some(Compression::Snappy),
        _ => None,
    };
    Ok(SessionBuilder::new()
        .known_node(format!("127.0.0.1:{port}"))
        .compression(compression)
        .connection_timeout(Duration::from_secs(30))
        .pool_size(PoolSize::PerHost(3.try_into()?))
        .build()
        .await?)
}

async fn work(session: &Session, port: &str, compression: &str, keyspace: &str) -> Outcome<Value> {
    let table = format!("{keyspace}.t");
    session
        .query_unpaged(
            format!(
                "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
            ),
            (),
        )
        .await?;
    session.query_unpaged(format!("CREATE TABLE {table} (id int PRIMARY KEY, name text)"), ()).await?;
    session.await_schema_agreement().await?;
    session.refresh_metadata().await?;
    let columns = session
        .get_cluster_state()
        .get_keyspace(keyspace)
        .and_then(|known| known.tables.get("t"))
        .map(|known| known.columns.len());

    session.query_unpaged(format!("INSERT INTO {table} (id, name) VALUES (1, 'one')"), ()).await?;
    let insert = session.prepare(format!("INSERT INTO {table} (id, name) VALUES (?, ?)")).await?;
    let select = session.prepare(format!("SELECT name FROM {table} WHERE id = ?")).await?;
    session.execute_unpaged(&insert, (2, CANARY)).await?;

    let mut batch = Batch::default();
    batch.append_statement(insert.clone());
    batch.append_statement(format!("INSERT INTO {table} (id, name) VALUES (4, 'four')").as_str());
    batch.append_statement(insert.clone());
    session.batch(&batch, ((3, None::<&str>), (), (5, "five"))).await?;
    let rows = session.query_unpaged(format!("SELECT id, name FROM {table}"), ()).await?.into_rows_result()?;
    let mut rows: Vec<(i32, Option<String>)> = rows.rows()?.collect::<Result<_, _>>()?;
    rows.sort();

    let sent =
        futures::stream::iter(100..600).map(|id| session.execute_unpaged(&insert, (id, CANARY))).buffer_unordered(300);
    let concurrent = sent.try_fold(0, |count, _| async move { Ok(count + 1) }).await?;
    let mut paged = Statement::new(format!("SELECT id, name FROM {table}"));
    paged.set_page_size(60);
    let seen = session
        .query_iter(paged, ())
        .await?
        .rows_stream::<(i32, Option<String>)>()?
        .try_fold(0, |count, _| async move { Ok(count + 1) })
        .await?;

    let large = "x".repeat(3 << 20);
    session.execute_unpaged(&insert, (9, &large)).await?;
    let back = session.execute_unpaged(&select, (9,)).await?.into_rows_result()?.single_row::<(String,)>()?.0;

    let inside = connect(port, compression).await?;
    inside.use_keyspace(keyspace, true).await?;
    inside.query_unpaged("INSERT INTO t (id, name) VALUES (10, 'inside')", ()).await?;
    let used = inside
        .query_unpaged("SELECT name FROM t WHERE id = 10", ())
        .await?
        .into_rows_result()?
        .single_row::<(String,)>()?
        .0;

    let mut traced = Statement::new(format!("SELECT name FROM {table} WHERE id = 10"));
    traced.set_tracing(true);
    let tracing = session.query_unpaged(traced, ()).await?.tracing_id().is_some();
    session.query_unpaged(format!("DROP KEYSPACE {keyspace}"), ()).await?;
    Ok(json!({
        "columns": columns, "batch": rows, "concurrent": concurrent, "paging": seen, "large": back == large, "use": used, "tracing": tracing,
    }))
}

async fn outpost(session: Session) -> Outcome<Value> {
    let insert = session.prepare(INSERT).await?;
    let both = |statement: &str| {
        let mut batch = Batch::default();
        batch.append_statement(insert.clone());
        batch.append_statement(statement);
        batch
    };
    let text = INSERT.replace("?, ?", &format!("'{CANARY}', true"));
    let allowed = both(&text);
    let denied = both("DELETE FROM deathstar.plans WHERE id = 1");
    let told = json!({
        "insert": shown(session.query_unpaged(text.as_str(), ()).await),
        "prepared insert": shown(session.execute_unpaged(&insert, (CANARY, true)).await),
        "select": shown(session.query_unpaged(SELECT, ()).await),
        "prepared select": shown(session.prepare(SELECT).await),
        "another keyspace": shown(session.query_unpaged("SELECT * FROM deathstar.plans", ()).await),
        "batch": shown(session.batch(&allowed, ((CANARY, None::<bool>), ())).await),
        "batch with a delete": shown(session.batch(&denied, ((CANARY, true), ())).await),
        "drop": shown(session.query_unpaged("DROP TABLE attendance.daily_records", ()).await),
    });
    let (session, insert) = (Arc::new(session), Arc::new(insert));
    let each = futures::stream::iter(0..200).map(|number| {
        let (session, insert) = (session.clone(), insert.clone());
        async move {
            if number % 2 == 0 {
                shown(session.execute_unpaged(&insert, (CANARY, true)).await)
            } else {
                shown(session.query_unpaged(SELECT, ()).await)
            }
        }
    });
    let mut counts = BTreeMap::new();
    for word in each.buffer_unordered(200).collect::<Vec<_>>().await {
        *counts.entry(word).or_insert(0) += 1;
    }
    let then = shown(session.execute_unpaged(&insert, (CANARY, true)).await);
    let mut told = told;
    told["in flight"] = json!(counts);
    told["then"] = json!(then);
    Ok(told)
}

/// `ok`, or what the driver's own kind of error says.
fn shown<T, E: Refusal>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".into(),
        Err(error) => match error.attempt() {
            Some(RequestAttemptError::DbError(DbError::Unauthorized, _)) => "Unauthorized".into(),
            _ => error.to_string(),
        },
    }
}

/// Where the drivers' errors keep what the server said.
trait Refusal: Error {
    fn attempt(&self) -> Option<&RequestAttemptError>;
}

impl Refusal for ExecutionError {
    fn attempt(&self) -> Option<&RequestAttemptError> {
        match self {
            ExecutionError::LastAttemptError(error) => Some(error),
            ExecutionError::PrepareError(error) => error.attempt(),
            _ => None,
        }
    }
}

impl Refusal for PrepareError {
    fn attempt(&self) -> Option<&RequestAttemptError> {
        match self {
            PrepareError::AllAttemptsFailed { first_attempt } => Some(first_attempt),
            _ => None,
        }
    }
}
