"""Speech: speaks texts, sends the audio while it is made, and keeps it. Needs PostgreSQL, an object store, and something that can speak;
espeak-ng is built in where its extra is installed.
"""
