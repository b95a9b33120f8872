/**
 * The client of Antiphon: calls, streams that survive broken connections, tokens that renew themselves, typed failures.
 *
 * <p>Begin with {@link dev.antiphon.client.AntiphonClient}. What calls take and return are the contract's own messages, in
 * {@code dev.antiphon.auth.v1}, {@code dev.antiphon.chat.v1} and their neighbours.
 */
package dev.antiphon.client;
