"""Where data comes from: files, functions, and the data sets of scikit-learn and Keras.

`load` asks one of them for its tables; every source makes a `Table`, of which the columns asked
for are chosen, gathered chunk by chunk, and ingested as `RawData`.
"""
