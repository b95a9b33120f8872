//! What `docs/clients/rust.md` shows, against a suite: `cargo run --example tour -- SERVER EMAIL PASSWORD`.

use std::{fs, time::Duration};

use antiphon_client::{
    Client, Error, Retries, Tls,
    auth::v1::GetProfileRequest,
    chat::v1::{
        ChatRequest, CreateSessionRequest, ListSessionsRequest, StreamChatRequest, chat_event::Event,
        chat_request, stream_chat_request,
    },
    errors::v1::ErrorReason,
    image::v1::{DownloadImageRequest, GenerateImageRequest},
    speech::v1::{StreamSynthesizeRequest, stream_synthesize_request, stream_synthesize_response},
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main]
async fn main() -> Outcome {
    let [server, email, password] = &std::env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: tour SERVER EMAIL PASSWORD".into());
    };
    let client = Client::new(server)?;
    calls(&client, email, password).await?;
    streams(&client).await?;
    files(&client).await?;
    failures(&client).await?;
    Ok(())
}

async fn calls(client: &Client, email: &str, password: &str) -> Outcome {
    let user = client.login(email, password).await?;
    println!("{}", user.email);

    let profile = client.call(GetProfileRequest {}).await?;
    println!("{:?}", profile.user);

    let request = CreateSessionRequest { title: "Sky".to_owned(), ..Default::default() };
    let session = client.call(request).await?.session.unwrap_or_default();

    let request = ChatRequest {
        session_id: session.session_id,
        input: Some(chat_request::Input::Message("Why is the sky blue?".to_owned())),
        ..Default::default()
    };
    let reply = client.call(request).await?;
    println!("{}", reply.generation.unwrap_or_default().text);

    let mut pages = client.pages(ListSessionsRequest { page_size: 100, ..Default::default() });
    while let Some(page) = pages.next().await? {
        for session in page.sessions {
            println!("{}", session.title);
        }
    }
    Ok(())
}

async fn streams(client: &Client) -> Outcome {
    let request = StreamChatRequest {
        model: "echo".to_owned(),
        input: Some(stream_chat_request::Input::Message("Why is the sky blue?".to_owned())),
        ..Default::default()
    };
    let mut answer = client
        .answer(request)
        .on_reconnect(|lost| eprintln!("{}; try {} in {:?}", lost.failure, lost.attempt, lost.pause));
    while let Some(event) = answer.next().await? {
        match event.event {
            Some(Event::TextDelta(delta)) => print!("{}", delta.text),
            Some(Event::Finished(finished)) => println!("\n{:?}", finished.reason()),
            _ => {}
        }
    }

    let (generation_id, seq) = (answer.generation_id().to_owned(), answer.seq());
    let resume_token = answer.resume_token().to_owned();
    // … in another process:
    let mut rest = client.resume(&generation_id, seq, &resume_token);
    while let Some(event) = rest.next().await? {
        println!("{event:?}");
    }
    Ok(())
}

async fn files(client: &Client) -> Outcome {
    let request = GenerateImageRequest { prompt: "a cat".to_owned(), ..Default::default() };
    for image in client.call(request).await?.images {
        let request = DownloadImageRequest { image_id: image.image_id, ..Default::default() };
        let mut download = client.download(request);
        while let Some(chunk) = download.next().await? {
            println!("{} bytes of {}", chunk.len(), download.total_bytes());
        }
        println!("{} {}", download.content_type(), download.sha256());
    }

    let mut speech = client.stream(StreamSynthesizeRequest {
        input: Some(stream_synthesize_request::Input::Text("hola".to_owned())),
        language: "es".to_owned(),
        ..Default::default()
    });
    while let Some(response) = speech.next().await? {
        if let Some(stream_synthesize_response::Event::Audio(audio)) = response.event {
            println!("{} bytes", audio.data.len());
        }
    }
    Ok(())
}

async fn failures(client: &Client) -> Outcome {
    let request = ChatRequest {
        model: "gpt-9".to_owned(),
        input: Some(chat_request::Input::Message("Hi".to_owned())),
        ..Default::default()
    };
    match client.call(request).await {
        Ok(reply) => println!("{}", reply.generation.unwrap_or_default().text),
        Err(error) => match error.reason_value() {
            Some(ErrorReason::RateLimited) => println!("come again in {:?}", error.retry_after),
            Some(ErrorReason::ModelNotFound) => println!("no model {}", error.metadata["model"]),
            _ => log(&error),
        },
    }
    Ok(())
}

fn log(error: &Error) {
    println!("{error} {:?} {:?} {}", error.metadata, error.violations, error.request_id);
}

/// A connection over mutual TLS, and fewer tries.
pub fn protected() -> Result<Client, Box<dyn std::error::Error>> {
    let client = Client::builder("antiphon.example.com:443")
        .tls(Tls {
            roots: Some(fs::read("ca.pem")?),
            identity: Some((fs::read("client.pem")?, fs::read("client-key.pem")?)),
            server_name: None,
        })
        .token("an API key")
        .retries(Retries { attempts: 3, max_delay: Duration::from_secs(2), ..Retries::default() })
        .build()?;
    Ok(client)
}
