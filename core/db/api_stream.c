/* api_stream.c - large values in pieces, by typed keys. */
#include "db/api.h"

nacre_status nacre_value_begin(nacre_membrane *membrane, const nacre_value *key, const nacre_put_options *options,
                               nacre_value_writer **writer) {
    uint64_t expiry = 0;
    Span encoded;
    TRY(api_call(membrane));
    ApiState *api = membrane->db->api;
    if (!writer) return api_null(membrane->db, "writer");
    TRY(api_expiry(membrane, options, &expiry));
    TRY(api_key(membrane, key, &api->key, &api->key_capacity, &encoded));
    return value_writer_open(membrane, encoded, expiry, writer);
}

nacre_status nacre_value_append(nacre_value_writer *writer, const void *data, size_t size) {
    if (!writer) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(value_writer_db(writer)));
    if (!data && size) return api_null(value_writer_db(writer), "data");
    return value_writer_append(writer, span_of(data, size));
}

nacre_status nacre_value_finish(nacre_value_writer *writer) {
    if (!writer) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(value_writer_db(writer)));
    return value_writer_finish(writer);
}

void nacre_value_abort(nacre_value_writer *writer) {
    if (!writer) return;
    db_call(value_writer_db(writer));
    value_writer_abort(writer);
}

nacre_status nacre_value_open(nacre_membrane *membrane, const nacre_snapshot *snapshot, const nacre_value *key,
                              nacre_value_reader **reader) {
    Span encoded;
    TRY(api_call(membrane));
    ApiState *api = membrane->db->api;
    if (!reader) return api_null(membrane->db, "reader");
    TRY(api_key(membrane, key, &api->key, &api->key_capacity, &encoded));
    return value_reader_open(membrane, snapshot, encoded, reader);
}

uint64_t nacre_value_size(const nacre_value_reader *reader) { return reader ? value_reader_size(reader) : 0; }

nacre_status nacre_value_read(nacre_value_reader *reader, uint64_t offset, void *into, size_t size) {
    if (!reader) return NACRE_INVALID_ARGUMENT;
    TRY(api_enter(value_reader_db(reader)));
    if (!into && size) return api_null(value_reader_db(reader), "into");
    return value_reader_read(reader, offset, into, size);
}

void nacre_value_close(nacre_value_reader *reader) {
    if (!reader) return;
    db_call(value_reader_db(reader));
    value_reader_close(reader);
}
