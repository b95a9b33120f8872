//! Logs in and asks: `cargo run --example ask -- EMAIL PASSWORD`.

use std::io::{Write, stdout};

use antiphon_client::{
    Client,
    chat::v1::{StreamChatRequest, chat_event::Event, stream_chat_request::Input},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [email, password] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: ask EMAIL PASSWORD".into());
    };
    let client = Client::new("127.0.0.1:50051")?;
    client.login(email, password).await?;
    let input = Some(Input::Message("Why is the sky blue?".to_owned()));
    let mut answer = client.answer(StreamChatRequest { input, ..Default::default() });
    while let Some(event) = answer.next().await? {
        if let Some(Event::TextDelta(delta)) = event.event {
            print!("{}", delta.text);
            stdout().flush()?;
        }
    }
    println!();
    Ok(())
}
