package dev.antiphon.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.antiphon.image.v1.DownloadImageRequest;
import dev.antiphon.image.v1.DownloadImageResponse;
import dev.antiphon.image.v1.ImageServiceGrpc;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;

class FileReaderTest {
    private static final String ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    private final FileReader reader = new FileReader(Rpc.of(
            ImageServiceGrpc.getDownloadImageMethod(), DownloadImageRequest.getDefaultInstance(), CallSettings.DEFAULT));

    @Test
    void aFurtherCallGoesOnWhereTheFirstBrokeOff() {
        reader.nextCall();
        reader.take(first(3, "a"));
        reader.nextCall();
        assertNull(reader.take(first(3, "a")));
        assertEquals("bc", reader.take(chunk("bc")).toStringUtf8());
        reader.take(last(ABC));
        assertTrue(reader.ended());
        assertEquals(new Download("image/png", 3, ABC, 2), reader.whole(2));
    }

    @Test
    void theFirstMessageMayBringNoBytes() {
        reader.nextCall();
        reader.take(first(3, ""));
        reader.take(chunk("abc"));
        reader.take(last(ABC));
        assertEquals(3, reader.whole(1).bytes());
    }

    @Test
    void aFileOfAnotherLengthIsBroken() {
        reader.nextCall();
        reader.take(first(3, "ab"));
        assertLost(() -> reader.take(chunk("cd")));
        reader.nextCall();
        reader.take(first(3, "ab"));
        assertLost(() -> reader.take(last(ABC)));
    }

    @Test
    void soIsOneOfAnotherDigest() {
        reader.nextCall();
        reader.take(first(3, "abd"));
        reader.take(last(ABC));
        assertLost(() -> reader.whole(1));
    }

    private static void assertLost(Runnable reading) {
        assertEquals(Code.DATA_LOSS, assertThrows(AntiphonException.class, reading::run).code());
    }

    private static DownloadImageResponse first(long total, String bytes) {
        return chunk(bytes).toBuilder().setContentType("image/png").setTotalBytes(total).build();
    }

    private static DownloadImageResponse chunk(String bytes) {
        return DownloadImageResponse.newBuilder().setChunk(ByteString.copyFromUtf8(bytes)).build();
    }

    private static DownloadImageResponse last(String sha256) {
        return DownloadImageResponse.newBuilder().setSha256(sha256).build();
    }
}
