package dev.antiphon.examples;

import dev.antiphon.client.AnswerStream;
import dev.antiphon.client.AntiphonClient;

/** Logs in, asks, and prints the answer as it is made. */
public final class Chat {
    private Chat() {}

    /** Takes an address, an e-mail and a password. */
    public static void main(String[] arguments) {
        if (arguments.length != 3) {
            System.err.println("usage: Chat SERVER EMAIL PASSWORD");
            System.exit(2);
        }
        try (AntiphonClient client = AntiphonClient.connect(arguments[0])) {
            client.login(arguments[1], arguments[2]);
            try (AnswerStream answer = client.stream("Why is the sky blue?")) {
                while (answer.hasNext()) {
                    System.out.print(answer.next().getTextDelta().getText());
                }
                System.out.println("\n" + answer.finished().orElseThrow().getUsage());
            }
        }
    }
}
