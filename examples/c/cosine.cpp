// The C interface from C++17: handles that close themselves, and errors that are exceptions.
//
//     cosine MODEL.gguf TOKEN TOKEN    prints the cosine of two tokens' rows, as the file stores their texts
#include <pyembed.h>

#include <cmath>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

class Error : public std::runtime_error {
  public:
    explicit Error(const pye_error &error) : std::runtime_error(error.message), status(error.status) {}
    pye_status status;
};

// Calls a function of the library with an error to fill, and throws what comes back.
template <typename Function, typename... Arguments> void call(Function function, Arguments... arguments) {
    pye_error error;
    if (function(arguments..., &error) != PYE_OK)
        throw Error(error);
}

// Calls an `open` function and hands its result to an owner that closes it.
template <typename Handle, void (*close)(Handle *)> struct Closer {
    void operator()(Handle *handle) const { close(handle); }
};
using Model = std::unique_ptr<pye_model, Closer<pye_model, pye_model_close>>;
using Table = std::unique_ptr<pye_table, Closer<pye_table, pye_table_close>>;
using Vocabulary = std::unique_ptr<pye_vocabulary, Closer<pye_vocabulary, pye_vocabulary_close>>;

Model open_model(const std::string &path) {
    pye_model *model = nullptr;
    call(pye_model_open, path.c_str(), static_cast<const pye_open_options *>(nullptr), &model);
    return Model(model);
}

Table open_table(const Model &model, std::string_view name) {
    pye_table *table = nullptr;
    call(pye_table_open, model.get(), name.data(), name.size(), &table);
    return Table(table);
}

Vocabulary open_vocabulary(const Model &model) {
    pye_vocabulary *vocabulary = nullptr;
    call(pye_vocabulary_open, model.get(), &vocabulary);
    return Vocabulary(vocabulary);
}

std::int64_t find(const Vocabulary &vocabulary, std::string_view text) {
    std::uint64_t id = 0;
    call(pye_vocabulary_find, vocabulary.get(), text.data(), text.size(), &id);
    return static_cast<std::int64_t>(id);
}

std::vector<float> gather(const Table &table, const std::vector<std::int64_t> &ids) {
    pye_table_info info;
    pye_table_get_info(table.get(), &info);
    std::vector<float> rows(ids.size() * info.n_columns);
    pye_gather_options options{};
    options.struct_bytes = sizeof options;
    options.id_type = PYE_ID_I64;
    const pye_gather_options *given = &options;
    call(pye_table_gather, table.get(), static_cast<const void *>(ids.data()), ids.size(),
         static_cast<void *>(rows.data()), given);
    return rows;
}

double cosine_of(const std::vector<float> &rows) {
    const auto n = static_cast<std::ptrdiff_t>(rows.size() / 2);
    const auto a = rows.begin(), b = rows.begin() + n;
    const double product = std::inner_product(a, b, b, 0.0);
    return product / std::sqrt(std::inner_product(a, b, a, 0.0) * std::inner_product(b, rows.end(), b, 0.0));
}

} // namespace

int main(int argc, char **argv) try {
    if (argc != 4) {
        std::cerr << "usage: cosine MODEL.gguf TOKEN TOKEN\n";
        return 2;
    }
    const Model model = open_model(argv[1]);
    const Vocabulary vocabulary = open_vocabulary(model);
    const Table table = open_table(model, "token_embd.weight");
    const std::vector<std::int64_t> ids{find(vocabulary, argv[2]), find(vocabulary, argv[3])};
    std::cout << argv[2] << ' ' << argv[3] << ' ' << cosine_of(gather(table, ids)) << '\n';
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
