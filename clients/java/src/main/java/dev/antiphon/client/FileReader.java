package dev.antiphon.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Message;
import io.grpc.Status.Code;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** A file in chunks, checked by its length and SHA-256. A further call begins anew, and what has come already is skipped. */
final class FileReader implements Reader<Message, ByteString> {
    private final Rpc<?, ? extends Message> rpc;
    private final MessageDigest digest = sha256();
    private String contentType = "";
    private boolean begun;
    private long total;
    private long taken;
    private long position;
    private String told = "";

    FileReader(Rpc<?, ? extends Message> rpc) {
        this.rpc = rpc;
    }

    @Override
    public boolean ended() {
        return !told.isEmpty();
    }

    @Override
    public Rpc<?, ? extends Message> nextCall() {
        position = 0;
        return rpc;
    }

    @Override
    public ByteString take(Message response) {
        if (!begun) {
            contentType = text(response, "content_type");
            total = (long) field(response, "total_bytes");
            begun = true;
        }
        ByteString chunk = (ByteString) field(response, "chunk");
        int known = (int) Math.min(chunk.size(), taken - position);
        position += chunk.size();
        ByteString fresh = chunk.substring(known);
        taken += fresh.size();
        digest.update(fresh.asReadOnlyByteBuffer());
        told = text(response, "sha256");
        if (position > total || (ended() && position != total)) {
            throw broken("it is not the " + total + " bytes that were announced");
        }
        return fresh.isEmpty() ? null : fresh;
    }

    @Override
    public void cutShort() {
        if (told.isEmpty()) {
            throw Reader.broken("the stream ended before the file did");
        }
    }

    @Override
    public boolean givesUp(AntiphonException failure) {
        return false;
    }

    /** What has come. Throws AntiphonException when that is not what the server has. */
    Download whole(int tries) {
        String sha256 = HexFormat.of().formatHex(digest.digest());
        if (!sha256.equals(told)) {
            throw broken("its SHA-256 is not the one that the server tells");
        }
        return new Download(contentType, taken, sha256, tries);
    }

    private static AntiphonException broken(String how) {
        return new AntiphonException(Code.DATA_LOSS, "the download is broken: " + how, AntiphonException.Details.NONE);
    }

    private static String text(Message response, String name) {
        return (String) field(response, name);
    }

    private static Object field(Message response, String name) {
        Descriptor descriptor = response.getDescriptorForType();
        return response.getField(descriptor.findFieldByName(name));
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
